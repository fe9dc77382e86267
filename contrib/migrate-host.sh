#!/bin/sh
# One host's part of a fleet, a phase at a time:
#
#   migrate-host.sh check OUT [FLAG...]    days before: doctor and plan
#   migrate-host.sh pass OUT [FLAG...]     any time before: bring what there is
#   migrate-host.sh final OUT [FLAG...]    in the window: last pass, verify, report
#
# OUT is the host's directory: its state, logs, plan, report and letters. The flags are
# those that plan, migrate and verify (for the check doctor too) have in common, as
# --source-root and --imapd-conf; all settings may also be in the environment
# (MBOX2CYRUS_...) or a file (MBOX2CYRUS_CONFIG). PROGRAM names another mbox2cyrus. Delivery, UW IMAP and Cyrus are stopped by whoever
# calls this for the window; docs/runbook.md says how.
#
# It ends with the worst exit code of its commands: 3 a difference, 1 (or another) failed,
# 2 something needs a person, 0 all is well. Every phase may be run again.
set -u

# When the ssh connection is lost, its terminal hangs up or nobody reads what is printed any
# more: mbox2cyrus goes on all the same, and so must this script, and tee, which keeps logs.
trap '' HUP PIPE

program=${PROGRAM:-mbox2cyrus}
worst=0

usage() {
    echo "usage: migrate-host.sh check|pass|final OUT [FLAG...]" >&2
    exit 64
}

# rank CODE: the larger, the worse.
rank() {
    case $1 in
    0) echo 0 ;;
    2) echo 1 ;;
    3) echo 3 ;;
    *) echo 2 ;;
    esac
}

# run NAME COMMAND... runs a command, with its output in OUT/NAME.log too, and keeps its
# exit code in $code and the worst of all in $worst. It gets no input: over ssh this script
# itself may come that way, and must not be eaten.
run() {
    log=$out/$1.log
    shift
    echo "== $(date -u +%Y-%m-%dT%H:%M:%SZ) $*" >>"$log"
    { "$@" </dev/null 2>&1; echo $? >"$out/.code"; } | tee -a "$log"
    code=$(cat "$out/.code") && rm "$out/.code" || code=1
    echo "== exit code $code" >>"$log"
    [ "$(rank "$code")" -le "$(rank "$worst")" ] || worst=$code
}

[ $# -ge 2 ] || usage
phase=$1 out=$2
shift 2
umask 077
mkdir -p "$out" || exit 1
state=$out/state

case $phase in
check)
    run doctor "$program" doctor --state "$state" "$@"
    run plan "$program" plan --state "$state" --out "$out/plan.json" --map "$out/names.csv" --help-desk "$out/help-desk.csv" "$@"
    ;;
pass)
    run migrate "$program" migrate --state "$state" "$@"
    ;;
final)
    run migrate "$program" migrate --state "$state" "$@"
    case $code in
    0 | 1 | 2 | 3)
        # What one user lacks is no reason not to prove the others.
        run verify "$program" verify --state "$state" --level content "$@"
        run report "$program" report --state "$state" --format html --out "$out/report.html"
        run report "$program" report --state "$state"
        run letters "$program" notify --state "$state" --output "$out/letters"
        ;;
    esac # else it was refused or stopped: nothing can be said yet
    ;;
*) usage ;;
esac
exit "$worst"
