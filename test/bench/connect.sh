#!/bin/bash
# What settle.ingest costs, against an INSERT ... SELECT payload ->> ... ON
# CONFLICT that somebody wrote by hand for orders and lines of one platform.
#
# Runs in the database that PGHOST, PGDATABASE ... name, where the extension must
# be installed; works in the schema bench and in the book bench_connect, which it
# drops.  The hand-written side reads clean payloads, and knows no quarantine and
# no versions but the time of change.  It is measured twice: as somebody writes it
# who needs orders and lines and nothing else, and with the rest of what
# settle.ingest makes of these payloads: promotions, keys of buyers, receivers,
# lines of the version that stands only, and which payloads were read.
#   PAYLOADS  number of payloads                    (100000)
#   ROUNDS    measurements of each, alternately     (3)
#
# Of the mixed payloads 2 % are malformed, 5 % duplicates and 3 % late.
set -euo pipefail
payloads=${PAYLOADS:-100000}
rounds=${ROUNDS:-3}
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c jit=off -c max_parallel_workers_per_gather=0"

run() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
seconds() { run -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | awk '{ print $1 / 1000 }'; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

run -v n="$payloads" -o /dev/null <<'SQL'
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE FUNCTION bench.payload(n bigint, second integer, payment text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	SELECT jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('request_id', 'r' || n, 'trade', jsonb_build_object(
		'tid', 4000000000000000000 + n * 10, 'tid_str', (4000000000000000000 + n * 10)::text, 'sid', (4000000000000000000 + n * 10)::text, 'type', 'fixed',
		'status', CASE WHEN second > 0 THEN 'WAIT_SELLER_SEND_GOODS' ELSE 'WAIT_BUYER_PAY' END, 'seller_nick', 'bench', 'buyer_open_uid', 'AAG-' || n % 50000,
		'created', '2025-11-11 00:03:00', 'pay_time', CASE WHEN second > 0 THEN '2025-11-11 00:03:40' END, 'modified', '2025-11-11 00:03:' || to_char(second, 'FM00'),
		'payment', payment, 'total_fee', '318.80', 'discount_fee', '38.88', 'adjust_fee', '0.00', 'post_fee', '8.00', 'received_payment', '0.00', 'commission_fee', '0.00', 'cod_fee', '0.00',
		'alipay_no', '2025111122001400000' || n, 'seller_memo', 'memo ' || n, 'buyer_message', '', 'trade_from', 'WAP,WAP', 'shipping_type', 'express', 'num', 0, 'point_fee', 0,
		'receiver_name', '*', 'receiver_mobile', '138****8000', 'receiver_state', '浙江省', 'receiver_city', '杭州市', 'receiver_district', '西湖区', 'receiver_address', '**', 'oaid', md5(n::text),
		'orders', jsonb_build_object('order', (SELECT jsonb_agg(jsonb_build_object('oid', 4000000000000000000 + n * 10 + l, 'oid_str', (4000000000000000000 + n * 10 + l)::text, 'num_iid', 680011112222 + l,
			'sku_id', (5011223344551 + l)::text, 'outer_iid', '', 'outer_sku_id', 'SKU-' || l, 'title', '棉质短袖T恤 ' || l, 'sku_properties_name', '颜色:黑色;尺码:M', 'num', 1, 'price', p, 'total_fee', p, 'payment', p,
			'discount_fee', '0.00', 'part_mjz_discount', '0.00', 'divide_order_fee', d, 'status', 'WAIT_SELLER_SEND_GOODS', 'refund_status', 'NO_REFUND', 'seller_type', 'B', 'cid', 50012027, 'is_oversold', false, 'snapshot_url', 'o:' || n || '_1'))
			FROM (VALUES (1, '169.00', '146.25'), (2, '119.80', '103.67'), (3, '0.00', '0.00')) AS v (l, p, d))),
		'promotion_details', jsonb_build_object('promotion_detail', jsonb_build_array(jsonb_build_object('id', 4000000000000000000 + n * 10, 'promotion_name', '11.11狂欢价 跨店满减', 'promotion_id', 'mjs-9_7', 'discount_fee', '38.88'))))))
$$;
CREATE TABLE bench.clean AS SELECT n, bench.payload(n, 41, '257.92') AS payload FROM generate_series(1, :n) AS n;
CREATE TABLE bench.mixed AS
SELECT n, CASE WHEN n % 50 = 7 THEN bench.payload(n, 41, '二百五十七') WHEN n % 20 = 3 AND n > 20 THEN bench.payload(n - 1, 41, '257.92') WHEN n % 100 IN (11, 31, 51) THEN bench.payload(n - 1, 0, '257.92')
	ELSE bench.payload(n, 41, '257.92') END AS payload
FROM generate_series(1, :n) AS n;
CREATE TABLE bench.landed (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, platform text, payload jsonb, loaded_at timestamptz);
CREATE TABLE bench.shop_order (platform text, shop text, order_no text, status text, created_at timestamptz, paid_at timestamptz, modified timestamptz, payment numeric, total numeric, post numeric, discount numeric,
	buyer text, pay_no text, province text, city text, district text, memo text, PRIMARY KEY (platform, shop, order_no));
CREATE TABLE bench.order_line (platform text, shop text, order_no text, line_no text, item text, sku_id text, sku text, title text, qty bigint, price numeric, payment numeric, paid numeric, status text, refund_status text,
	PRIMARY KEY (platform, shop, order_no, line_no));
CREATE TABLE bench.promotion (platform text, shop text, order_no text, position bigint, title text, promotion_ref text, amount numeric, PRIMARY KEY (platform, shop, order_no, position));
CREATE TABLE bench.buyer (platform text, shop text, buyer text, order_no text, PRIMARY KEY (platform, shop, buyer, order_no));
CREATE TABLE bench.receiver (platform text, shop text, order_no text, name text, phone text, province text, city text, district text, address text, PRIMARY KEY (platform, shop, order_no));
INSERT INTO bench.landed (platform, payload) SELECT 'taobao', payload::text::jsonb FROM bench.clean ORDER BY n;
VACUUM ANALYZE bench.landed;
SQL

# Prepares a fresh book with the payloads of a query.
prepare() {
	run -o /dev/null -c 'DROP SCHEMA IF EXISTS bench_connect CASCADE' -c "SELECT settle.create_book('bench_connect')" \
		-c "INSERT INTO bench_connect.staging (platform, payload) SELECT 'taobao', payload::text::jsonb FROM ($1) AS q" -c 'VACUUM ANALYZE bench_connect.staging' -c 'CHECKPOINT'
}
ingest="SELECT FROM settle.ingest('bench_connect')"
by_hand="WITH t AS MATERIALIZED (SELECT platform, payload -> 'trade_fullinfo_get_response' -> 'trade' AS t FROM bench.landed),
o AS (INSERT INTO bench.shop_order SELECT platform, t ->> 'seller_nick', t ->> 'tid_str', t ->> 'status', (t ->> 'created')::timestamp AT TIME ZONE 'Asia/Shanghai', (t ->> 'pay_time')::timestamp AT TIME ZONE 'Asia/Shanghai',
	(t ->> 'modified')::timestamp AT TIME ZONE 'Asia/Shanghai', (t ->> 'payment')::numeric, (t ->> 'total_fee')::numeric, (t ->> 'post_fee')::numeric, (t ->> 'discount_fee')::numeric, t ->> 'buyer_open_uid', t ->> 'alipay_no',
	t ->> 'receiver_state', t ->> 'receiver_city', t ->> 'receiver_district', t ->> 'seller_memo' FROM t
	ON CONFLICT (platform, shop, order_no) DO UPDATE SET status = excluded.status, modified = excluded.modified, payment = excluded.payment WHERE excluded.modified > shop_order.modified)
INSERT INTO bench.order_line SELECT platform, t ->> 'seller_nick', t ->> 'tid_str', l ->> 'oid_str', l ->> 'num_iid', l ->> 'sku_id', l ->> 'outer_sku_id', l ->> 'title', (l ->> 'num')::bigint, (l ->> 'price')::numeric, (l ->> 'payment')::numeric,
	(l ->> 'divide_order_fee')::numeric, l ->> 'status', l ->> 'refund_status' FROM t, jsonb_array_elements(t -> 'orders' -> 'order') AS l
	ON CONFLICT (platform, shop, order_no, line_no) DO UPDATE SET payment = excluded.payment, status = excluded.status"

# the same with everything else, for the version that stands
all_by_hand="WITH t AS MATERIALIZED (SELECT platform, payload -> 'trade_fullinfo_get_response' -> 'trade' AS t FROM bench.landed),
o AS (INSERT INTO bench.shop_order SELECT platform, t ->> 'seller_nick', t ->> 'tid_str', t ->> 'status', (t ->> 'created')::timestamp AT TIME ZONE 'Asia/Shanghai', (t ->> 'pay_time')::timestamp AT TIME ZONE 'Asia/Shanghai',
	(t ->> 'modified')::timestamp AT TIME ZONE 'Asia/Shanghai', (t ->> 'payment')::numeric, (t ->> 'total_fee')::numeric, (t ->> 'post_fee')::numeric, (t ->> 'discount_fee')::numeric, t ->> 'buyer_open_uid', t ->> 'alipay_no',
	t ->> 'receiver_state', t ->> 'receiver_city', t ->> 'receiver_district', t ->> 'seller_memo' FROM t
	ON CONFLICT (platform, shop, order_no) DO UPDATE SET status = excluded.status, modified = excluded.modified, payment = excluded.payment WHERE excluded.modified > shop_order.modified RETURNING order_no),
p AS (INSERT INTO bench.promotion SELECT platform, t ->> 'seller_nick', t ->> 'tid_str', n, p ->> 'promotion_name', p ->> 'promotion_id', (p ->> 'discount_fee')::numeric
	FROM t, jsonb_array_elements(t -> 'promotion_details' -> 'promotion_detail') WITH ORDINALITY AS p (p, n) WHERE t ->> 'tid_str' IN (SELECT order_no FROM o)
	ON CONFLICT (platform, shop, order_no, position) DO UPDATE SET amount = excluded.amount),
b AS (INSERT INTO bench.buyer SELECT platform, t ->> 'seller_nick', t ->> 'buyer_open_uid', t ->> 'tid_str' FROM t WHERE t ->> 'buyer_open_uid' IS NOT NULL ON CONFLICT DO NOTHING),
r AS (INSERT INTO bench.receiver SELECT platform, t ->> 'seller_nick', t ->> 'tid_str', t ->> 'receiver_name', t ->> 'receiver_mobile', t ->> 'receiver_state', t ->> 'receiver_city', t ->> 'receiver_district', t ->> 'receiver_address'
	FROM t WHERE t ->> 'tid_str' IN (SELECT order_no FROM o) ON CONFLICT (platform, shop, order_no) DO UPDATE SET name = excluded.name, phone = excluded.phone, address = excluded.address),
u AS (UPDATE bench.landed SET loaded_at = now())
INSERT INTO bench.order_line SELECT platform, t ->> 'seller_nick', t ->> 'tid_str', l ->> 'oid_str', l ->> 'num_iid', l ->> 'sku_id', l ->> 'outer_sku_id', l ->> 'title', (l ->> 'num')::bigint, (l ->> 'price')::numeric, (l ->> 'payment')::numeric,
	(l ->> 'divide_order_fee')::numeric, l ->> 'status', l ->> 'refund_status' FROM t, jsonb_array_elements(t -> 'orders' -> 'order') AS l WHERE t ->> 'tid_str' IN (SELECT order_no FROM o)
	ON CONFLICT (platform, shop, order_no, line_no) DO UPDATE SET payment = excluded.payment, status = excluded.status"

all=$(mktemp -d)
trap 'rm -rf "$all"' EXIT
for ((round = 1; round <= rounds; round++)); do
	run -c 'TRUNCATE bench.shop_order, bench.order_line' -c CHECKPOINT
	seconds "$by_hand" >>"$all/hand"
	run -c 'TRUNCATE bench.shop_order, bench.order_line, bench.promotion, bench.buyer, bench.receiver' -c 'UPDATE bench.landed SET loaded_at = NULL' -c 'VACUUM FULL bench.landed' -c CHECKPOINT
	seconds "$all_by_hand" >>"$all/all"
	run -c 'UPDATE bench.landed SET loaded_at = NULL' -c 'VACUUM FULL bench.landed'
	prepare 'SELECT payload FROM bench.mixed ORDER BY n'
	seconds "$ingest" >>"$all/mixed"
	prepare 'SELECT payload FROM bench.clean WHERE n <= 10000 ORDER BY n'
	seconds "$ingest" >>"$all/clean"
	prepare "SELECT CASE WHEN n = 5000 THEN jsonb_set(payload, '{trade_fullinfo_get_response,trade,payment}', '\"a word\"') ELSE payload END AS payload FROM bench.clean WHERE n <= 10000 ORDER BY n"
	seconds "$ingest" >>"$all/bad"
done
run -c "SELECT format('%s %s', state, count(*)) FROM bench_connect.staging GROUP BY state ORDER BY 1" >/dev/null
hand=$(median <"$all/hand") all_hand=$(median <"$all/all") mixed=$(median <"$all/mixed") clean=$(median <"$all/clean") bad=$(median <"$all/bad")
awk -v n="$payloads" -v hand="$hand" -v all_hand="$all_hand" -v mixed="$mixed" -v clean="$clean" -v bad="$bad" 'BEGIN {
	printf "by hand, orders and lines   %8.0f payloads/s\n", n / hand
	printf "by hand, what ingest makes  %8.0f payloads/s\n", n / all_hand
	printf "settle.ingest, mixed        %8.0f payloads/s   %.2f of the first (goal: 1), %.2f of the second\n", n / mixed, hand / mixed, all_hand / mixed
	printf "one bad among 10,000        %8.2f of the clean batch (goal: at most 1.2)\n", bad / clean
}'
run -c 'DROP SCHEMA bench, bench_connect CASCADE'
