"""An nginx in front of a plan's frontends, as its configuration: HTTPS, and a key that clients
must have, for stacks whose own frontends know none. Pure.

nginx, since every distribution has it, it reads keys from a file that only root may read, and
streams answers on without holding them back.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from dsr1.hosts.errors import InputError
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.recipe.parts import ServerTls


def render_nginx(plan: Plan, tls: ServerTls | None) -> str:
    """`tls`: the files that clients are shown; else names to be replaced. InputError: a path that
    nginx could not read."""
    return "\n".join((*_head(plan), *_keys(plan), *_upstream(plan), *_server(plan, tls))) + "\n"


def _head(plan: Plan) -> Iterator[str]:
    first = plan.hosts[0].host
    yield f"# {plan.run}: nginx in front of its frontends, rendered by dsr1."
    yield f"# On {first} or a host that alone may reach them: /etc/nginx/conf.d/{plan.run}.conf"
    yield "# A key of a client is a line of a file that root alone may read:"
    line = r"""printf '"~^Bearer \\Q%s\\E$" 1;\n' "$(cat KEYFILE)" """
    yield f"#   {line}| install -m 600 /dev/stdin {_keys_file(plan)}"


def _keys_file(plan: Plan) -> str:
    return f"/etc/nginx/{plan.run}.keys"


def _word(plan: Plan) -> str:
    return plan.run.replace("-", "_")


def _keys(plan: Plan) -> Iterator[str]:
    yield "map_hash_bucket_size 1024;"
    yield f"map $http_authorization ${_word(plan)}_known {{"
    yield "    default 0;"
    yield f"    include {_keys_file(plan)};"
    yield "}"


def _upstream(plan: Plan) -> Iterator[str]:
    """Frontends themselves where there are several: nginx deals requests out, not connections."""
    yield f"upstream {_word(plan)} {{"
    for url in plan.service.frontend_urls or (plan.service.url,):
        yield f"    server {urlsplit(url).netloc};"
    yield "    keepalive 64;"
    yield "}"


def _server(plan: Plan, tls: ServerTls | None) -> Iterator[str]:
    yield "server {"
    yield "    listen 443 ssl;"
    yield f"    ssl_certificate {_quoted(tls.cert if tls else '/etc/ssl/CERTIFICATE.pem')};"
    yield f"    ssl_certificate_key {_quoted(tls.key if tls else '/etc/ssl/KEY.pem')};"
    yield "    client_max_body_size 64m;"
    yield "    location /v1/ {"
    yield f"        if (${_word(plan)}_known = 0) {{ return 401; }}"
    yield f"        proxy_pass {urlsplit(plan.service.url).scheme}://{_word(plan)};"
    yield "        proxy_http_version 1.1;"
    yield '        proxy_set_header Connection "";'
    yield '        proxy_set_header Authorization "";'
    yield "        proxy_buffering off;"
    yield "        proxy_read_timeout 1h;"
    yield "    }"
    yield "}"


def _quoted(path: str) -> str:
    if "$" in path or not path.isprintable():
        raise InputError(f"frontend.tls: {path!r}: nginx can't read such a path; rename the file")
    inner = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'
