-- Views that are not of plain types, and why each is as it is.
CREATE TEMP TABLE exception (relname name PRIMARY KEY, reason text NOT NULL);
INSERT INTO exception
SELECT unnest(names), reason FROM (VALUES
	('{sold,order_sold,refund_sold,ticket_figure,special_customer,special_project,service_person,service_team}'::name[],
		'conditions of rules read it: paths, arrays and ranges have the types that conditions compare'),
	('{balance_figure,sheet_figure,line_figure,unfolded_figure,party_figure,fresh_delta,party_sum,cell_figure,day_figure,rule_figure,rule_sum,service_measure,service_open,check_in_verdict,campaign_match,campaign_verdict,order_goods,order_refund,order_store,order_staff}',
		'other views read it: rounding before the last sum would be wrong, and a path is compared as one'),
	('{order_status,order_campaign,campaign_share,unknown_alias}', 'what platforms say is summed up, which has no bound: one payload must not make the view fail'),
	('{campaign_review,customer_conflict,unlinked_ticket}', 'a list of what somebody decides by hand: what it could be is a set of its own'),
	('{ticket_masked,ticket_timeline,check_in_masked}', 'rows of the desk as they stand, masked: forms differ by type of ticket'),
	('{ticket_deadline,service_time,job}', 'how long something takes is an interval'),
	('{tally,line_detail,my_items,progress,my_progress}', 'quantities along tiers, bases and factors have up to 18 digits before the point and 6 behind it; amounts are plain')
) AS e (names, reason);
