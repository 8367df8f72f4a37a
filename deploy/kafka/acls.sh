#!/bin/sh
# Gives a user exactly the rights that coupongrant needs: see docs/security-kafka.md.
#
#   acls.sh ROLE PRINCIPAL      such as: acls.sh run User:coupongrant
#
# ROLE is run, create, produce, read, replay or doctor. Repeating it changes nothing.
# The environment says where, and what has other names than the defaults:
#   BOOTSTRAP        host:port of a broker
#   COMMAND_CONFIG   the client.properties of a user who may change rights
#   KAFKA_ACLS       the tool, kafka-acls.sh by default
#   GROUP, STORE, LOYALTY, GRANTED, FAILED, DEAD_LETTER, RETRY
#   ACTION=--remove  takes the rights away again
set -eu

usage() { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
role=$1 principal=$2
: "${BOOTSTRAP:?must be host:port of a broker}"

group=${GROUP:-coupongrant}
store=${STORE:-coupon-grant-requested.store}
loyalty=${LOYALTY:-coupon-grant-requested.loyalty}
granted=${GRANTED:-coupon-granted}
failed=${FAILED:-coupon-grant-failed}
dead_letter=${DEAD_LETTER:-coupon-grant-dead-letter}
retry=${RETRY:-coupon-grant-retry}

# allow OPERATION RESOURCE...
allow() {
    operation=$1; shift
    set -- "${ACTION:---add}" --allow-principal "$principal" --operation "$operation" "$@"
    [ "${ACTION:-}" != --remove ] || set -- "$@" --force
    [ -z "${COMMAND_CONFIG:-}" ] || set -- --command-config "$COMMAND_CONFIG" "$@"
    "${KAFKA_ACLS:-kafka-acls.sh}" --bootstrap-server "$BOOTSTRAP" "$@"
}

run() {
    allow Read --topic "$store" --topic "$loyalty" --topic "$retry"
    allow Write --topic "$granted" --topic "$failed" --topic "$dead_letter" --topic "$retry"
    allow Read --group "$group"
    allow Write --transactional-id "$group" --resource-pattern-type prefixed
}

every_topic() {
    allow "$1" --topic "$store" --topic "$loyalty" --topic "$retry" --topic "$granted" --topic "$failed" --topic "$dead_letter"
}

case $role in
run) run ;;
create)
    every_topic Create
    every_topic Describe
    every_topic DescribeConfigs
    ;;
produce)
    allow Write --topic "$store" --topic "$loyalty"
    ;;
read)
    every_topic Read
    allow DescribeConfigs --topic "$granted" --topic "$failed" --topic "$dead_letter"
    allow Describe --group "$group"
    ;;
replay)
    allow Read --topic "$dead_letter" --topic "$store" --topic "$loyalty"
    allow Write --topic "$store" --topic "$loyalty"
    allow Write --transactional-id "$group-replay"
    ;;
doctor)
    run
    every_topic DescribeConfigs
    allow DescribeConfigs --cluster
    ;;
*) usage ;;
esac
