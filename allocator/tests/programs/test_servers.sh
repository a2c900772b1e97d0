#!/usr/bin/env bash
# Servers with cellmalloc preloaded, under load: what they answer is what they answer under the C library's allocator.
source "$SRC/allocator/tests/programs/same.sh" || exit 1

# Each function ends with "status 0" only when load and server do: two failures that are equal are none the less failures.
await() { # SOCKET: until somebody listens, which is later than the file (flag __SO_ACCEPTCON)
    for _ in $(seq 200); do grep -q " 00010000 .* $1\$" /proc/net/unix && return; sleep 0.1; done
    echo "nobody listens on $1"
}

redis() {
    local socket=$work/redis.sock server load
    rm -f "$socket"
    $(with "$1") redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --maxmemory 200mb \
        --dir "$work" --daemonize no --logfile "$work/redis.log" &
    server=$!
    await "$socket"
    timeout 60 redis-benchmark -s "$socket" -q -n 20000 -c 20 -P 16 -d 300 -r 5000 -t set,get,lpush,lpop,sadd,hset,zadd >load 2>&1
    load=$?
    redis-cli -s "$socket" eval 'for i = 1, 20000 do redis.call("set", "k" .. i, string.rep("x", i % 700)) end
        local n = 0 for i = 1, 20000, 7 do n = n + redis.call("strlen", "k" .. i) end return n' 0
    redis-cli -s "$socket" --no-raw del mylist
    redis-cli -s "$socket" flushall
    redis-cli -s "$socket" dbsize
    redis-cli -s "$socket" shutdown nosave
    wait "$server"
    echo "status $((load | $?))"
}
server_same "redis" redis-server redis

memcached() {
    local socket=$work/memcached.sock server load
    rm -f "$socket"
    $(with "$1") memcached -u "$(id -un)" -s "$socket" -t 4 -m 64 &
    server=$!
    await "$socket"
    timeout 60 /usr/bin/python3 ask_memcached.py "$socket"
    load=$?
    kill "$server"
    wait "$server"
    echo "status $((load | $?))"
}
server_same "memcached" memcached memcached

nginx() { # two workers that compress what 8 clients fetch
    local server load
    rm -rf web && mkdir -p web/html web/logs
    chmod -R 777 web
    cp words.* web/html
    sed "s,DIR,$work/web,g" nginx.conf >web/nginx.conf
    $(with "$1") "$nginx" -p "$work/web" -c "$work/web/nginx.conf" -e "$work/web/error.log" &
    server=$!
    await "$work/web/socket"
    timeout 60 /usr/bin/python3 ask_http.py "$work/web/socket" words.c words.py words.cpp absent
    load=$?
    kill -QUIT "$server"
    wait "$server"
    echo "status $((load | $?))"
    grep -E 'alert|emerg|crit' web/error.log
}
nginx=$(type -P nginx || echo /usr/sbin/nginx)
server_same "nginx" "$nginx" nginx

dbus() { # a message bus of our own, and systemd's busctl asking it
    local socket=$work/bus server
    rm -f "$socket"
    $(with "$1") dbus-daemon --session --nofork --nopidfile --address="unix:path=$socket" 2>bus.log &
    server=$!
    await "$socket"
    for _ in 1 2 3; do $(with "$1") busctl --address="unix:path=$socket" introspect org.freedesktop.DBus /org/freedesktop/DBus; done |
        sed -E 's/"[0-9a-f]{32}"//'
    $(with "$1") busctl --address="unix:path=$socket" call org.freedesktop.DBus / org.freedesktop.DBus ListNames
    kill "$server"
    wait "$server"
    echo "status $?"
}
if command -v busctl >/dev/null; then
    server_same "dbus-daemon and busctl" dbus-daemon dbus
else
    skip "dbus-daemon and busctl" "busctl is not installed"
fi

# PostgreSQL does not run as root.
as_postgres() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
postgres() {
    local data=$work/pg/data server load
    rm -rf pg && mkdir -m 777 pg
    as_postgres $(with "$1") "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --no-sync >init 2>&1
    load=$?
    wc -l <init
    as_postgres $(with "$1") "$bin/postgres" -D "$data" -k "$work/pg" -h '' -F >pg.log 2>&1 &
    server=$!
    await "$work/pg/.s.PGSQL.5432"
    for _ in $(seq 100); do "$bin/psql" -h "$work/pg" -U postgres -c 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
    $(with "$1") "$bin/pgbench" -h "$work/pg" -U postgres -i -q -s 1 postgres 2>&1 | grep -vE ' s[, )]'
    $(with "$1") "$bin/pgbench" -h "$work/pg" -U postgres -n -c 4 -j 2 -t 250 --random-seed=7 postgres 2>&1 |
        grep -E 'clients|actually|failed'
    "$bin/psql" -h "$work/pg" -U postgres -At -c 'select count(*), sum(abalance), sum(abalance * aid::numeric) from pgbench_accounts' \
        -c "select count(*), md5(string_agg(i || repeat('x', i % 90), ',' order by i % 977, i)) from generate_series(1, 60000) i" \
        -c "select count(*), sum(length(v::text)) from (select jsonb_object_agg(i, md5(i::text)) v from generate_series(1, 20000) i group by i % 7) j"
    load=$((load | $?))
    kill -INT "$(head -1 "$data/postmaster.pid")"
    wait "$server"
    echo "status $((load | $?))"
}
initdb=$(ls /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb 2>/dev/null | sort -V | tail -n 1)
initdb=${initdb:-$(type -P initdb)}
bin=$(dirname "${initdb:-.}")
if [ -x "$bin/psql" ] && [ -x "$bin/pgbench" ]; then
    server_same "postgres: initdb, pgbench, queries" "$initdb" postgres
else
    skip "postgres: initdb, pgbench, queries" "initdb, psql and pgbench are not installed in one directory"
fi

mariadb() {
    local data=$work/maria server load
    rm -rf "$data" && mkdir -m 777 "$data"
    $(with "$1") mariadb-install-db --no-defaults --user="$(id -un)" --auth-root-authentication-method=normal --datadir="$data" >init 2>&1
    load=$?
    $(with "$1") "$mariadbd" --no-defaults --user="$(id -un)" --datadir="$data" --socket="$data/socket" --skip-networking >maria.log 2>&1 &
    server=$!
    await "$data/socket"
    command mariadb --no-defaults -u root -S "$data/socket" -e "create database d; use d; create table t(i int primary key, w varchar(90), key(w));
        insert into t select seq, concat(md5(seq), seq) from seq_1_to_30000; update t set w = concat(w, i) where i % 3 = 0; delete from t where i % 7 = 0;
        select count(*), sum(length(w)), md5(group_concat(w order by w)) from t"
    load=$((load | $?))
    kill "$server"
    wait "$server"
    echo "status $((load | $?))"
}
mariadbd=$(type -P mariadbd || echo /usr/sbin/mariadbd)
long "mariadb" && server_same "mariadb" "$mariadbd" mariadb
tap_end
