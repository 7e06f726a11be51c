"""A stack file with every key that means something; after `#>` another value of the same line.

Below a key marked `#^` the key's line stands for all of its items.
"""

from __future__ import annotations

STACK = """\
services:
  web:
    image: nginx:1  #> nginx:2
    entrypoint: sh -c  #> sh -x
    command:  #^
      - a
      - b  #> c
    hostname: h  #> h2
    extra_hosts:  #^
      - "one:1.1.1.1"  #> "one:1.1.1.2"
    environment:
      A: "1"  #> "2"
      B.c: x  #> y
    env_file:
      - a.env
    labels:
      plain: l  #> l2
      dotted.name: l  #> l2
    working_dir: /w  #> /w2
    user: u  #> u2
    stop_signal: SIGINT  #> SIGQUIT
    stop_grace_period: 5s  #> 6s
    tty: true  #> false
    stdin_open: true  #> false
    read_only: true  #> false
    isolation: process  #> hyperv
    init: true  #> false
    sysctls:
      net.a: "1"  #> "2"
    ulimits:
      nofile:
        soft: 1  #> 2
        hard: 3  #> 4
      nproc: 7  #> 8
    cap_add:  #^
      - SYS_TIME  #> SYS_NICE
    cap_drop:  #^
      - CHOWN  #> KILL
    dns:  #^
      - 1.1.1.1  #> 1.1.1.2
    dns_search: a.example  #> b.example
    healthcheck:
      test: exit 0  #> exit 1
      interval: 5s  #> 6s
      timeout: 5s  #> 6s
      start_period: 5s  #> 6s
      start_interval: 5s  #> 6s
      retries: 3  #> 4
    logging:
      driver: json-file  #> local
      options:
        max-size: 1m  #> 2m
    networks:
      front:
        aliases:  #^
          - alias  #> alias2
        driver_opts:
          opt: "1"  #> "2"
      back: {}
    ports:
      - "80-81:80-81"  #> "80-81:90-91"
      - "8080:8080/udp"  #> "8080:8080/sctp"
      - target: 100  #> 101
        published: 100  #> 102
        protocol: udp  #> tcp
        mode: ingress  #> host
      - "301:300"  #> "299:300"
      - target: 300
        published: 303  #> 304
    volumes:
      - data:/data  #> other:/data
      - /host:/short:ro  #> /host:/short
      - type: bind
        source: /a  #> /b
        target: /bind  #> /bind2
        read_only: true  #> false
        bind:
          propagation: rslave  #> rshared
      - type: volume
        source: data
        target: /long
        volume:
          nocopy: true  #> false
          subpath: one  #> two
      - type: volume  #> cluster
        source: plain
        target: /typed
      - type: tmpfs
        target: /tmp
        tmpfs:
          size: 5  #> 6
    secrets:
      - plain  #> second
      - source: plain  #> second
        target: other  #> other2
        uid: "1"  #> "2"
        gid: "1"  #> "2"
        mode: 0400  #> 0440
    configs:
      - source: plain  #> second
        target: /etc/x  #> /etc/y
    deploy:
      endpoint_mode: vip
      replicas: 2  #> 3
      labels:
        - a.b=1  #> a.b=2
        - c=1  #> c=2
      update_config:
        parallelism: 1  #> 2
        delay: 1s  #> 2s
        failure_action: pause  #> rollback
        monitor: 1s  #> 2s
        max_failure_ratio: 0.1  #> 0.2
        order: start-first  #> stop-first
      rollback_config:
        parallelism: 1  #> 2
        delay: 1s  #> 2s
        failure_action: pause  #> continue
        monitor: 1s  #> 2s
        max_failure_ratio: 0.1  #> 0.2
        order: start-first  #> stop-first
      resources:
        limits:
          cpus: "1"  #> "2"
          memory: 10M  #> 20M
          pids: 5  #> 6
        reservations:
          cpus: "0.5"  #> "0.6"
          memory: 10M  #> 20M
          generic_resources:
            - discrete_resource_spec:
                kind: gpu  #> fpga
                value: 1  #> 2
      restart_policy:
        condition: any  #> none
        delay: 1s  #> 2s
        max_attempts: 1  #> 2
        window: 1s  #> 2s
      placement:
        constraints:  #^
          - node.role == worker  #> node.role == manager
        preferences:
          - spread: node.labels.a  #> node.labels.b
          - spread: node.labels.c  #> node.labels.d
        max_replicas_per_node: 1  #> 2
    x-swarmctl:
      spec:
        TaskTemplate:
          ContainerSpec:
            OomScoreAdj: 1  #> 2
            Groups:  #^
              - a  #> b
        Labels:
          from.patch: x  #> y
  windows:
    image: w
    restart: on-failure:1  #> always
    credential_spec:
      file: f  #> g
    deploy:
      endpoint_mode: vip  #> dnsrr
  job:
    image: w
    deploy:
      mode: replicated-job  #> replicated
  jobs:
    image: w
    deploy:
      mode: replicated-job
      replicas: 2  #> 3
  each:
    image: w
    deploy:
      mode: global  #> replicated
networks:
  front:
    driver: overlay  #> macvlan
    attachable: true  #> false
    internal: true  #> false
    labels:
      a: b  #> c
    driver_opts:
      x.y: "1"  #> "2"
    ipam:
      driver: d  #> e
      config:
        - subnet: 10.1.0.0/24  #> 10.2.0.0/24
        - subnet: 10.3.0.0/24  #> 10.4.0.0/24
    x-swarmctl:
      spec:
        EnableIPv6: true  #> false
  back: {}
volumes:
  data:
    driver: local  #> nfs
    driver_opts:
      o: a  #> b
    labels:
      v: "1"  #> "2"
  other:
    driver: local
    driver_opts:
      o: a
    labels:
      v: "1"
  plain: {}
secrets:
  plain:
    file: s.txt  #> t.txt
    labels:
      a: b  #> c
    template_driver: golang  #> other
  second:
    file: s.txt
  driven:
    driver: vault  #> vault2
    driver_opts:
      o: a  #> b
configs:
  plain:
    file: s.txt  #> t.txt
    labels:
      a: b  #> c
    template_driver: golang  #> other
  second:
    file: s.txt
"""
FILES = {"s.txt": "one", "t.txt": "two", "a.env": "# none\nFROM_FILE=1\n  SECOND=2\nFROM_FILE=3\n"}
