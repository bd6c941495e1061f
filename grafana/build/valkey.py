"""Panels of Valkey or Redis, from prometheus-redis-exporter if that is installed."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.common import UP
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, metric, rate
from grafana.build.style import About, Display

VALKEY = 'job="valkey"'
ABSENT = "no exporter of Valkey"
NOTE = " Empty if the exporter is not installed; `jobs_broker_up` on Jobs works without it."


def section() -> Section:
    """The broker's server."""
    return Section(
        "Valkey",
        [Shelf(6, [(4, _up()), (5, _memory()), (5, _clients()), (5, _commands()), (5, _losses())])],
    )


def _up() -> dash.Panel:
    about = About(
        "Valkey",
        "Whether the exporter reaches Valkey." + NOTE,
        "up.",
        "BrokerDown, if the workers do not reach it either.",
    )
    display = Display("short", nothing=ABSENT, words=UP, steps=limits.above(1))
    query = aggregate("min", metric("redis_up", VALKEY))
    return number(about, display, [Query(query)])


def _memory() -> dash.Panel:
    about = About(
        "Memory of Valkey",
        "Memory of the data; dashed the limit (`maxmemory`), 0 if that is not set." + NOTE,
        "far below the limit.",
        "with `noeviction`, as it must be, a full Valkey rejects messages: give it more memory.",
    )
    queries = [
        Query(aggregate("max", metric("redis_memory_used_bytes", VALKEY)), "used"),
        Query(aggregate("max", metric("redis_memory_max_bytes", VALKEY)), "limit"),
    ]
    how = Lines(dashed="^limit$", fill=0)
    return graph(about, Display("bytes", nothing=ABSENT), queries, how)


def _clients() -> dash.Panel:
    about = About(
        "Clients of Valkey",
        "Open connections, and those that wait in a blocking command." + NOTE,
        "level.",
        "a steady rise is a leak of connections.",
    )
    queries = [
        Query(aggregate("max", metric("redis_connected_clients", VALKEY)), "connected"),
        Query(aggregate("max", metric("redis_blocked_clients", VALKEY)), "blocked"),
    ]
    return graph(about, Display("short", 0, nothing=ABSENT), queries)


def _commands() -> dash.Panel:
    about = About(
        "Commands of Valkey",
        "Commands processed in a second." + NOTE,
        "in step with the jobs.",
        "0 while jobs wait: no worker fetches any, JobsNotProcessing.",
    )
    query = rate("redis_commands_processed_total", VALKEY)
    return graph(about, Display("ops", nothing=ABSENT), [Query(query, "commands")])


def _losses() -> dash.Panel:
    about = About(
        "Losses of Valkey",
        "Keys that were evicted for lack of memory, and connections refused, in a second." + NOTE,
        "0.",
        "evicted: set `maxmemory-policy noeviction`, or messages are lost until a sweep sends "
        "them again. refused: raise `maxclients`.",
    )
    queries = [
        Query(rate("redis_evicted_keys_total", VALKEY), "evicted"),
        Query(rate("redis_rejected_connections_total", VALKEY), "refused"),
    ]
    colours = {"evicted": "red", "refused": "orange"}
    return graph(about, Display("ops", nothing=ABSENT), queries, Lines(colours=colours))
