"""What becomes of an engine, decided without touching anything.

An engine here is what lives and dies together: the processes of one `group` of the plan, on all
their hosts. A frontend, the gateway and the run's etcd are such groups, too.

`machine` is one state machine an engine: (state, event) -> (state, orders). The supervisor
(dsr1.launcher.run.supervision) turns what it hears into events, and carries the orders out.

    down -> starting -> asking -> serving        what fails on the way, or later, goes to ending
    ending -> waiting -> [placing ->] starting   ended with proof, the backoff, a host in the place
                                                 of one that is gone
    ending -> failed | down | starting           no restart is left; it was stopped; restarted
    serving -> falling asleep -> asleep          all ranks of it; where one can't, all are woken
    falling asleep | asleep -> waking -> asking

Two things hold on every path, and a test walks all of them: a host where something of the engine
may live is among the state's `unproven`, so that it has an owner; and nothing is started on a host
where something of it may live. From each failure the way leads to serving, to waiting for a
restart, or to failed with proof, or with the hosts named that can't be asked for it.

`deployment` says what all engines together make of a deployment, and `changes` what somebody wants
of several of them, one after the other.
"""
