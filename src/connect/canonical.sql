-- what payloads become: orders, refunds, payments, shipments, identities, tickets

/*
 * A row that has versions carries platform and shop, its key, the version and
 * the precedence that decided it, flags, and the staging row it came from.
 * Amounts are yuan, ids are text, instants are instants.  Primary keys begin
 * with what tells rows apart: it is compared first, and an order is found by its
 * number alone.
 */
CREATE FUNCTION settle._create_canonical_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	made text[];
	table_name text;
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.shop_order (
			platform text NOT NULL,
			shop text NOT NULL,
			order_no text NOT NULL,
			org text,
			store text,
			created_at timestamptz,
			deposit_at timestamptz,
			paid_at timestamptz,
			shipped_at timestamptz,
			completed_at timestamptz,
			closed_at timestamptz,
			raw_status text,
			lifecycle text NOT NULL,
			refund_hint text,
			presale_step text,
			goods_amount numeric,
			freight_amount numeric,
			payable_amount numeric,
			paid_amount numeric,
			refund_hint_amount numeric,
			platform_borne numeric,
			buyer_ref text,
			pay_trade_no text,
			staff_ref text,
			staff_refs text[],
			live_room text,
			live_author text,
			province text,
			city text,
			district text,
			seller_memo text,
			PRIMARY KEY (order_no, shop, platform)
		);
		COMMENT ON TABLE %1$I.shop_order IS 'orders of shops; refund_hint is what the order itself says of refunds, <book>.order_status what it comes to';
		COMMENT ON COLUMN %1$I.shop_order.lifecycle IS 'created, paid, part_shipped, shipped, completed or closed';
		COMMENT ON COLUMN %1$I.shop_order.presale_step IS 'deposit_unpaid, deposit_paid, final_paid, deposit_forfeited; null for an ordinary order';
		COMMENT ON COLUMN %1$I.shop_order.deposit_at IS 'when the deposit of a presale was paid, where the platform says so';
		COMMENT ON COLUMN %1$I.shop_order.payable_amount IS 'what the buyer owes, freight included';
		COMMENT ON COLUMN %1$I.shop_order.paid_amount IS 'what the buyer has really paid';
		COMMENT ON COLUMN %1$I.shop_order.staff_refs IS 'the guides that the order names for itself, where the platform can name several; null where staff_ref says it';
		COMMENT ON COLUMN %1$I.shop_order.live_author IS 'who broadcast or made what it was bought from';
		COMMENT ON COLUMN %1$I.shop_order.platform_borne IS 'discount that the platform pays to the shop';

		CREATE TABLE %1$I.order_line (
			platform text NOT NULL,
			shop text NOT NULL,
			order_no text NOT NULL,
			line_no text NOT NULL,
			position bigint NOT NULL,
			item_id text,
			sku_id text,
			sku_code text,
			title text,
			qty bigint,
			unit_price numeric,
			line_amount numeric,
			line_paid numeric,
			allocated boolean,
			is_gift boolean,
			line_status text,
			line_refund text,
			refunded_qty bigint,
			staff_ref text,
			staff_refs text[],
			live_room text,
			live_author text,
			store text,
			tracking_no text,
			PRIMARY KEY (order_no, line_no, shop, platform)
		);
		COMMENT ON TABLE %1$I.order_line IS 'lines of orders, replaced with each version of their order';
		COMMENT ON COLUMN %1$I.order_line.line_amount IS 'amount of the line as the platform prints it';
		COMMENT ON COLUMN %1$I.order_line.line_paid IS 'what the buyer owes for the line after all discounts, without freight';
		COMMENT ON COLUMN %1$I.order_line.allocated IS 'the platform gives no line_paid: it is the line''s share of the order by largest remainder';

		CREATE TABLE %1$I.promotion (
			platform text NOT NULL,
			shop text NOT NULL,
			order_no text NOT NULL,
			position bigint NOT NULL,
			kind text NOT NULL,
			line_no text,
			title text,
			promotion_ref text,
			amount numeric,
			borne_by text,
			in_price boolean
		);
		CREATE INDEX promotion_order ON %1$I.promotion (order_no);
		COMMENT ON TABLE %1$I.promotion IS 'discounts of orders, replaced with each version of their order; line_no is null where they concern the whole order, in_price those that prices already contain';

		CREATE TABLE %1$I.refund (
			platform text NOT NULL,
			shop text NOT NULL,
			refund_no text NOT NULL,
			order_no text,
			line_no text,
			refund_amount numeric,
			raw_status text,
			status text NOT NULL,
			kind text,
			phase text,
			moves_money boolean,
			effective_amount numeric,
			requested_at timestamptz,
			refunded_at timestamptz,
			PRIMARY KEY (refund_no, shop, platform)
		);
		CREATE INDEX refund_order ON %1$I.refund (order_no);
		CREATE INDEX refund_stands ON %1$I.refund ((coalesce(nullif(order_no, ''), refund_no)));
		COMMENT ON TABLE %1$I.refund IS 'refunds and after-sales; status is pending, success or closed, and success is final';
		COMMENT ON COLUMN %1$I.refund.effective_amount IS 'refund_amount once it has moved, else 0: exchanges and repairs move nothing';

		CREATE TABLE %1$I.shop_payment (
			platform text NOT NULL,
			shop text NOT NULL,
			payment_no text NOT NULL,
			order_ref text,
			attach text,
			raw_status text,
			status text NOT NULL,
			total_amount numeric,
			payer_amount numeric,
			refunded_amount numeric,
			platform_borne numeric,
			payer_ref text,
			staff_ref text,
			paid_at timestamptz,
			PRIMARY KEY (payment_no, shop, platform)
		);
		COMMENT ON TABLE %1$I.shop_payment IS 'payments of WeChat Pay and WeCom; total_amount is what was sold, payer_amount what the payer gave';

		CREATE TABLE %1$I.profit_share (
			platform text NOT NULL,
			shop text NOT NULL,
			share_no text NOT NULL,
			receiver text NOT NULL,
			kind text NOT NULL,
			returns_share text,
			payment_no text,
			raw_status text,
			status text NOT NULL,
			reason text,
			amount numeric,
			finished_at timestamptz,
			PRIMARY KEY (share_no, receiver, shop, platform)
		);
		COMMENT ON TABLE %1$I.profit_share IS 'profit sharing, one row a receiver, and returns of it (kind return)';

		CREATE TABLE %1$I.shipment (
			platform text NOT NULL,
			shop text NOT NULL,
			carrier text NOT NULL,
			tracking_no text NOT NULL,
			raw_status text,
			state text NOT NULL,
			signed_at timestamptz,
			last_event_at timestamptz,
			events bigint,
			carrier_corrected text,
			PRIMARY KEY (tracking_no, carrier, platform)
		);
		COMMENT ON TABLE %1$I.shipment IS 'parcels on their way';
		CREATE TABLE %1$I.shipment_event (
			platform text NOT NULL,
			carrier text NOT NULL,
			tracking_no text NOT NULL,
			position bigint NOT NULL,
			event_at timestamptz,
			context text,
			raw_status text,
			PRIMARY KEY (tracking_no, position, carrier, platform)
		);
		COMMENT ON TABLE %1$I.shipment_event IS 'where a parcel was, newest first; replaced with each version of its shipment';

		CREATE TABLE %1$I.customer_identity (
			platform text NOT NULL,
			shop text NOT NULL,
			scope text NOT NULL,
			key_type text NOT NULL,
			key_value text NOT NULL,
			subject text NOT NULL,
			PRIMARY KEY (subject, key_value, key_type, scope, platform)
		);
		COMMENT ON TABLE %1$I.customer_identity IS 'keys under which platforms know customers, each with what it was seen on: keys of one subject are of one customer';
		COMMENT ON COLUMN %1$I.customer_identity.scope IS 'within what the key means somebody: app, corp or shop; empty where everywhere';
		COMMENT ON COLUMN %1$I.customer_identity.subject IS 'the order, payment or contact that the key was seen on';

		CREATE TABLE %1$I.customer_follow (
			platform text NOT NULL,
			shop text NOT NULL,
			customer_no text NOT NULL,
			staff_ref text NOT NULL,
			followed_at timestamptz,
			channel text,
			add_way bigint,
			PRIMARY KEY (customer_no, staff_ref, shop, platform)
		);
		COMMENT ON TABLE %1$I.customer_follow IS 'which staff has which customer as a contact, since when and by which channel';

		CREATE TABLE %1$I.follow_event (
			platform text NOT NULL,
			shop text NOT NULL,
			customer_no text NOT NULL,
			staff_ref text NOT NULL,
			event_no text NOT NULL,
			what text NOT NULL CHECK (what IN ('followed', 'added', 'removed_by_customer', 'removed_by_staff', 'transfer_failed')),
			happened_at timestamptz NOT NULL,
			add_way bigint,
			PRIMARY KEY (customer_no, staff_ref, event_no, shop, platform)
		);
		COMMENT ON TABLE %1$I.follow_event IS 'when a staff began and ceased to have a customer as a contact; followed is told by the contact itself, the others by pushes';

		CREATE TABLE %1$I.person (
			platform text NOT NULL,
			shop text NOT NULL,
			subject text NOT NULL,
			role text NOT NULL,
			name text,
			nick text,
			phone text,
			email text,
			province text,
			city text,
			district text,
			town text,
			address text,
			PRIMARY KEY (subject, role, platform)
		);
		COMMENT ON TABLE %1$I.person IS 'who customers are and where they live, as platforms say it; nothing else holds it but the bodies in staging. <book>.person_masked is what readers see of it';
		COMMENT ON COLUMN %1$I.person.subject IS 'the order, payment, ticket or contact, as in customer_identity';
		COMMENT ON COLUMN %1$I.person.role IS 'buyer, receiver, contact or payer';
		COMMENT ON COLUMN %1$I.person.phone IS 'as it came: settle.phone_form says whether it is plain, masked, virtual or encrypted';
		COMMENT ON COLUMN %1$I.person.town IS 'town or street within the district';

		CREATE TABLE %1$I.platform_ticket (
			platform text NOT NULL,
			shop text NOT NULL,
			ticket_no text NOT NULL,
			raw_status text,
			status text NOT NULL,
			title text,
			description text,
			created_at timestamptz,
			completed_at timestamptz,
			order_ref text,
			amount numeric,
			raw_amount text,
			staff_ref text,
			store_ref text,
			customer_ref text,
			product_ref text,
			PRIMARY KEY (ticket_no, shop, platform)
		);
		COMMENT ON TABLE %1$I.platform_ticket IS 'tickets of ticket systems and service workcards; order_ref is the order number as it was entered';
		COMMENT ON COLUMN %1$I.platform_ticket.product_ref IS 'what it is about: item_id, sku_id or sku_code of an order line';
		COMMENT ON COLUMN %1$I.platform_ticket.status IS 'open, in_progress, completed, settled, cancelled, deleted or unknown';

		CREATE TABLE %1$I.platform_ticket_fee (
			platform text NOT NULL,
			shop text NOT NULL,
			ticket_no text NOT NULL,
			fee_no text NOT NULL,
			action text,
			from_role text,
			to_role text,
			amount numeric,
			raw_status text,
			status text NOT NULL,
			order_ref text,
			paid_at timestamptz,
			PRIMARY KEY (ticket_no, fee_no, shop, platform)
		);
		COMMENT ON TABLE %1$I.platform_ticket_fee IS 'what a platform itself settles for a workcard: directed amounts, and adjustments of them';

		CREATE TABLE %1$I.platform_bill (
			platform text NOT NULL,
			shop text NOT NULL,
			bill_no text NOT NULL,
			line_no text NOT NULL,
			trade_type text NOT NULL,
			order_no text,
			order_type text,
			product_id text,
			qty bigint,
			goods_amount numeric,
			freight_amount numeric,
			paid_amount numeric,
			refunded_before numeric,
			platform_borne numeric,
			service_fee numeric,
			commission numeric,
			leader_fee numeric,
			channel_fee numeric,
			other_fee numeric,
			settle_amount numeric NOT NULL,
			amount numeric NOT NULL,
			ordered_at timestamptz,
			settled_at timestamptz,
			PRIMARY KEY (bill_no, line_no, trade_type, shop, platform)
		);
		CREATE INDEX platform_bill_order ON %1$I.platform_bill (order_no);
		COMMENT ON TABLE %1$I.platform_bill IS 'what a platform settles with the shop, line by line; fees are those that it has kept, as printed';
		COMMENT ON COLUMN %1$I.platform_bill.trade_type IS 'settled, refunded, deposit_refund or refunded_elsewhere';
		COMMENT ON COLUMN %1$I.platform_bill.settle_amount IS 'what the shop receives, as printed';
		COMMENT ON COLUMN %1$I.platform_bill.amount IS 'the same, negative where it is taken back';
		COMMENT ON COLUMN %1$I.platform_bill.refunded_before IS 'refunds from before the settlement, which settle_amount already lacks';
		COMMENT ON COLUMN %1$I.platform_bill.leader_fee IS 'of those who recruit authors (colonel)';

		CREATE TABLE %1$I.signal (
			platform text NOT NULL,
			shop text NOT NULL,
			signal_no text NOT NULL,
			topic text,
			order_no text,
			refund_no text,
			customer_no text,
			raw_version text,
			sent_at timestamptz,
			PRIMARY KEY (signal_no, shop, platform)
		);
		COMMENT ON TABLE %1$I.signal IS 'pushes: each says that something should be fetched, and none carries what it is now';
	$tables$, book);
	made := '{shop_order,refund,shop_payment,profit_share,shipment,customer_identity,customer_follow,follow_event,person,platform_ticket,platform_ticket_fee,platform_bill,signal}';
	FOREACH table_name IN ARRAY made LOOP
		EXECUTE format($columns$
			ALTER TABLE %1$I.%2$I ADD version timestamptz NOT NULL, ADD precedence text COLLATE "C" NOT NULL,
				ADD tied boolean NOT NULL, ADD flags text[] NOT NULL, ADD staging_id bigint NOT NULL;
			COMMENT ON COLUMN %1$I.%2$I.precedence IS 'decides among versions, the greatest stands: final, version, rank, hash of the content';
			COMMENT ON COLUMN %1$I.%2$I.tied IS 'another content of the same version was seen: fetch it again';
			COMMENT ON COLUMN %1$I.%2$I.staging_id IS 'the payload it came from'
		$columns$, book, table_name);
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._create_canonical_tables(name) IS 'makes the tables that payloads become';

CREATE FUNCTION settle._create_connect_views(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($views$
		CREATE VIEW %1$I.order_refund AS
		SELECT r.* FROM %1$I.refund AS r
		WHERE NOT EXISTS (
			SELECT FROM %1$I.refund AS x
			WHERE x.refund_no = r.refund_no AND x.platform = r.platform AND (x.shop = '') <> (r.shop = '')
				AND (x.status = 'success', x.version, x.shop) > (r.status = 'success', r.version, r.shop)
		);
		COMMENT ON VIEW %1$I.order_refund IS 'each refund once: where it came with its shop and without, as it was told last, and success is final';

		CREATE VIEW %1$I.order_status AS
		SELECT o.platform, o.shop, o.order_no, o.lifecycle, o.presale_step,
			CASE WHEN r.refunded > 0 AND r.refunded >= o.paid_amount THEN 'full' WHEN r.refunded > 0 THEN 'partial'
				WHEN o.refund_hint IN ('partial', 'full') THEN o.refund_hint WHEN r.pending THEN 'in_progress' ELSE coalesce(o.refund_hint, 'none') END AS refund_state,
			o.paid_amount::numeric(38, 2) AS paid_amount,
			coalesce(nullif(r.refunded, 0), o.refund_hint_amount, CASE o.refund_hint WHEN 'full' THEN o.paid_amount WHEN 'none' THEN 0 END)::numeric(38, 2) AS refunded_amount,
			(o.payable_amount + o.platform_borne)::numeric(38, 2) AS merchant_receivable,
			CASE WHEN o.lifecycle = 'closed' AND (r.refunded >= o.paid_amount AND r.refunded > 0 OR r.refunded = 0 AND o.refund_hint = 'full') THEN 'refunded'
				WHEN r.refunded > 0 AND r.refunded < o.paid_amount OR r.refunded = 0 AND o.refund_hint = 'partial' THEN 'partly_refunded'
				ELSE o.lifecycle END AS status,
			r.refunded > 0 AND o.refund_hint IN ('none', 'partial', 'full')
				AND o.refund_hint <> CASE WHEN r.refunded >= o.paid_amount THEN 'full' ELSE 'partial' END AS refund_mismatch
		FROM %1$I.shop_order AS o
		CROSS JOIN LATERAL (
			SELECT coalesce(sum(f.effective_amount), 0) AS refunded, coalesce(bool_or(f.status = 'pending'), false) AS pending
			FROM %1$I.order_refund AS f
			WHERE f.order_no = o.order_no AND f.platform = o.platform AND (f.shop = o.shop OR f.shop = '' OR o.shop = '')
		) AS r;
		COMMENT ON VIEW %1$I.order_status IS 'orders on their three axes, and the one status that follows from them; what was refunded is told by the refunds where there are any, else by the order';
		COMMENT ON COLUMN %1$I.order_status.refund_state IS 'none, in_progress, partial or full';
		COMMENT ON COLUMN %1$I.order_status.merchant_receivable IS 'what the buyer owes and what the platform adds to it';
		COMMENT ON COLUMN %1$I.order_status.status IS 'refunded, partly_refunded, else the lifecycle';
		COMMENT ON COLUMN %1$I.order_status.refund_mismatch IS 'refunds and order disagree';

		CREATE VIEW %1$I.staging_state AS
		SELECT s.platform, s.kind, s.state, s.reason, count(*) AS payloads, min(s.received_at) AS first_received, max(s.received_at) AS last_received
		FROM %1$I.staging AS s
		GROUP BY s.platform, s.kind, s.state, s.reason;
		COMMENT ON VIEW %1$I.staging_state IS 'how many payloads came to what, and why';
		CREATE VIEW %1$I.quarantine AS
		SELECT s.staging_id, s.received_at, s.platform, s.kind, s.shop, s.field, s.reason, s.sqlstate,
			CASE WHEN s.reason IN ('type', 'error', 'encoding') OR s.reason <> 'status' AND s.message ~ '[^ -~]' THEN settle._hide_values(s.message) ELSE settle.mask_text(s.message) END AS message
		FROM %1$I.staging AS s
		WHERE s.state = 'quarantined';
		COMMENT ON VIEW %1$I.quarantine IS 'payloads that could not be used: which field, and why';
	$views$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_connect_views(name) IS 'makes the views over what payloads became';
