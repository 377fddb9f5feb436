#!/bin/sh
# The golden transcripts are the same whatever the server is set to: how it plans
# and executes, and by which language it sorts.  pg_regress sets zone, styles of
# dates and intervals, bytea_output and the other locales of its sessions itself;
# pgTAP, in RUNNERS, meets those given here.  The locale is nobody else's.
#
#   RUNNERS='regress tap' REGRESS='tier rule' TAP=tier make check-long TESTS=settings
#
# A backslash that escapes is for test/pgtap/settings.sql: texts of tests have some.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP
RUNNERS=${RUNNERS:-regress}
export RUNNERS

# same NAME setting=value ...
same() {
	name=$1
	shift
	said=$(test/check statement_timeout=0 "$@" 2>&1) || true
	figures=$(printf '%s\n' "$said" | tail -n 1)
	something "$figures" '^[1-9][0-9]* passed, 0 failed' "$name: $figures"
	nothing "$(printf '%s\n' "$said" | grep -e '^not ok' -e ' FAILED ' || true)" "$name: none differs"
}

same 'generic plans, workers, little memory' plan_cache_mode=force_generic_plan force_parallel_mode=regress work_mem=64kB
same 'compiled expressions' jit=on jit_above_cost=0 jit_inline_above_cost=0 jit_optimize_above_cost=0

if localedef -c -i de_DE -f UTF-8 "$(mkdir -p build/locales && cd build/locales && pwd)/de_DE.UTF-8" 2>/dev/null; then
	LOCPATH=$(pwd)/build/locales SERVER_LOCALE=de_DE.UTF-8
	export LOCPATH SERVER_LOCALE
	german='lc_numeric=de_DE.UTF-8 lc_monetary=de_DE.UTF-8 lc_time=de_DE.UTF-8'
	# shellcheck disable=SC2086  # three settings
	same 'a German server in Samoa' $german \
		timezone=Pacific/Apia 'datestyle=SQL, DMY' intervalstyle=iso_8601 extra_float_digits=0 bytea_output=escape
	RUNNERS=tap TAP='amount tier price rates expr settings explain export statement leg payout reporting alert desk_form'
	export TAP
	# shellcheck disable=SC2086
	same 'amounts and months as Germans write them, in pgTAP' $german
else
	skip 'localedef makes no de_DE here' 'a German server'
fi
done_testing
