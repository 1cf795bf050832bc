"""Which names of variables, flags and keys say that what they hold is a secret, and which values
are tokens by how they begin. Pure."""

import re

_ANYWHERE = (
    "PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|APIKEY|ACCESSKEY|ACCOUNTKEY|AUTHKEY|PRIVKEY"
    "|PRIVATEKEY|SIGNINGKEY|ENCRYPTIONKEY|CONNECTIONSTRING|AUTHORIZATION"
)
_WORDS = "PASS|PAT|PWD|JWT|SAS|PEM|CREDS|COOKIE|BEARER|DSN|PASSCODE|OTP|HMAC|KUBECONFIG"
_NO_PASSES = "COM|BY|SUR|TRES|UNDER|OVER|EN|RE|TWO"
# A KEY is a secret at the end of a name, unless it is one that everybody may know, or no key.
_OPEN_KEYS = (
    "PUBLIC|PUB|PRIMARY|FOREIGN|PARTITION|SORT|CACHE|HASH|ROUTING|SHARD|INDEX|LOOKUP|REQUEST"
)
_TOKENS = "PAD|EOS|BOS|MASK|SEP|CLS|UNK|STOP|IMAGE|AUDIO|VIDEO|PER|EACH|FIRST|NEXT|LAST|MAX|MIN"
_SECRET = re.compile(
    rf"{_ANYWHERE}"
    rf"|(?:^|_)(?:{_WORDS})(?:_|\Z)"
    rf"|(?<!{')(?<!'.join(_NO_PASSES.split('|'))})PASS\Z|(?<=[A-Z])PWD\Z"
    rf"|(?<!{'_)(?<!'.join(_OPEN_KEYS.split('|'))}_)(?<![A-Z])KEY\Z"
    rf"|(?<!{'_)(?<!'.join(_TOKENS.split('|'))}_)TOKEN(?:\Z|_(?:VALUE|B64|BASE64|RAW)\Z)"
)
TOKEN = re.compile(
    r"(?<![A-Za-z0-9_])(?:hf_(?=[a-z]*[A-Z0-9])|sk-|[srp]k_(?:live|test)_|gh[oprsu]_|github_pat_"
    r"|gl(?:pat|dt|rt|sa)[-_]|nvapi-|A[KS]IA|xox[abeprs]-|xapp-|AIza|ya29\.|pypi-|npm_|dop_v1_"
    r"|hv[sb]\.|r8_|dckr_pat_|SG\.|shpat_|ATATT|lin_api_|dapi[0-9a-f]|AGE-SECRET-KEY-|tskey-|gsk_"
    r"|PMAK-|eyJ[A-Za-z0-9_-]{6,}\.)[A-Za-z0-9_.-]{6,}"
)
_DIRECTORIES = ("PWD", "OLDPWD")
_BREAKS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-.\s]+")


def names_secret(name: str) -> bool:
    """`DBPASSWORD`, `signing-key`, `clientSecret`; not `MAX_TOKENS`, nor `VLLM_COMPASS`."""
    words = _BREAKS.sub("_", name.strip("-_ ")).upper()
    joined = words.replace("_", "")
    if words in _DIRECTORIES or words.endswith(("_TOKENS", "TOKENIZER")):
        return False
    return bool(_SECRET.search(words) or re.search(_ANYWHERE, joined))
