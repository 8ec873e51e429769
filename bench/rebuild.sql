-- Gold by hand: what one would write in DuckDB for these features, from bronze files as they are in the benchmark.
-- It is spared what the product must also do: allocations, shops that merge or move, features as of an earlier day,
-- and keeping silver for the next refresh. :files, :today, :start (first day of 180), :coverage_first are put in.
CREATE TEMP TABLE latest AS
SELECT distributor_id, kind, document_id, last.* FROM (SELECT distributor_id, kind, document_id, arg_max({
    retailer_id: retailer_id, invoice_id: invoice_id, day: document_date - DATE '1970-01-01',
    due: due_date - DATE '1970-01-01', amount: amount_paise::DOUBLE, terms: terms, disputed: disputed, status: status
  }, ('0x' || substr(batch_id, 5))::BIGINT * 100000 + row_number) AS last
FROM read_parquet(:files) WHERE document_date <= DATE '1970-01-01' + :today
GROUP BY ALL);

CREATE TEMP TABLE bill AS
SELECT retailer_id, distributor_id, document_id, day, due, amount,
  coalesce(terms = 'cash' OR (terms IS NULL AND due = day), false) AS cash, coalesce(disputed, false) AS disputed
FROM latest WHERE kind = 'invoice';

CREATE TEMP TABLE money AS
SELECT coalesce(l.retailer_id, b.retailer_id) AS retailer_id, l.distributor_id, l.kind, l.document_id, l.day, l.amount,
  l.invoice_id, coalesce(l.status = 'returned', false) AS returned,
  b.document_id IS NOT NULL AND coalesce(l.retailer_id, b.retailer_id) = b.retailer_id AS stated,
  CASE WHEN l.invoice_id IS NULL OR (stated AND NOT b.cash AND NOT b.disputed) THEN l.amount ELSE 0 END AS applied
FROM latest l LEFT JOIN bill b ON b.distributor_id = l.distributor_id AND b.document_id = l.invoice_id
WHERE l.kind <> 'invoice';

CREATE TEMP TABLE term AS
SELECT distributor_id, quantile_disc(due - day, 0.5) FILTER (NOT cash AND due >= day) AS usual FROM bill GROUP BY 1;

CREATE TEMP TABLE received AS
SELECT retailer_id, distributor_id, day, sum(applied) OVER (PARTITION BY retailer_id, distributor_id ORDER BY day)
  AS received
FROM (
  SELECT retailer_id, distributor_id, day, sum(applied) AS applied
  FROM money WHERE NOT returned AND applied > 0 AND retailer_id IS NOT NULL GROUP BY ALL
);

CREATE TEMP TABLE queue AS
WITH told AS (
  SELECT distributor_id, invoice_id, sum(amount) AS told, min(day) FILTER (kind = 'payment') AS first,
    max(day) FILTER (kind = 'payment') AS last
  FROM money WHERE stated AND NOT returned GROUP BY ALL
), rest AS (
  SELECT b.*, greatest(amount * 0.02, 10000) AS tolerance, amount - told AS rest, first, last
  FROM bill b LEFT JOIN told t ON t.distributor_id = b.distributor_id AND t.invoice_id = b.document_id
  WHERE NOT cash AND NOT disputed
)
SELECT retailer_id, r.distributor_id, day, coalesce(due, day + coalesce(usual, 30)) AS due, amount, tolerance,
  amount - CASE WHEN rest > 0 AND rest <= tolerance THEN rest ELSE 0 END AS owed,
  sum(owed) OVER (PARTITION BY retailer_id, r.distributor_id ORDER BY day, document_id ROWS UNBOUNDED PRECEDING) AS billed,
  CASE WHEN first IS NOT NULL THEN first < last OR rest > tolerance END AS part_paid
FROM rest r LEFT JOIN term USING (distributor_id);

CREATE TEMP TABLE paid AS
WITH closing AS (
  SELECT q.*, CASE WHEN billed <= tolerance OR owed <= tolerance THEN q.day ELSE greatest(r.day, q.day) END AS closed_by,
    r.day IS NULL AND billed > tolerance AND owed > tolerance AS is_open
  FROM (SELECT *, billed - tolerance AS level FROM queue) q ASOF LEFT JOIN received r
    ON q.retailer_id = r.retailer_id AND q.distributor_id = r.distributor_id AND q.level <= r.received
)
SELECT c.retailer_id, c.distributor_id, amount, part_paid, is_open,
  CASE WHEN is_open THEN least(billed - coalesce(total, 0), owed) ELSE 0 END AS balance,
  :today - due AS due_age, CASE WHEN NOT is_open THEN :today - closed_by END AS closed_age, :today - c.day AS bill_age,
  CASE WHEN NOT is_open THEN greatest(closed_by - due, 0) WHEN :today > due THEN :today - due END AS late,
  (:festive) AS festive
FROM closing c LEFT JOIN (
  SELECT retailer_id, distributor_id, max(received) AS total FROM received GROUP BY ALL
) USING (retailer_id, distributor_id);

CREATE TEMP TABLE by_bill AS
WITH p AS (SELECT *, due_age >= 0 AND (due_age < 180 OR is_open) AS recent FROM paid)
SELECT retailer_id,
  avg(late) FILTER (recent) AS avg_days_late_180d,
  avg((late <= 0)::INT) FILTER (recent AND late IS NOT NULL) AS on_time_share_180d,
  avg((NOT is_open AND closed_age > due_age)::INT) FILTER (recent AND late IS NOT NULL) AS early_pay_share_180d,
  avg(late) FILTER (closed_age < 30 OR (is_open AND due_age > 0)) AS days_late_last_30d,
  max(late) FILTER (recent) AS max_days_late_180d,
  avg((late > 15)::INT) FILTER (recent AND late IS NOT NULL) AS late_15d_share_180d,
  avg(late) FILTER (due_age BETWEEN 0 AND 89) - avg(late) FILTER (due_age BETWEEN 90 AND 179) AS days_late_delta_3m,
  avg(part_paid::INT) FILTER (bill_age < 180) AS partial_pay_share_180d,
  avg(late) FILTER (festive AND due_age >= 0) AS festive_days_late
FROM p GROUP BY 1;

CREATE TEMP TABLE by_order AS
WITH o AS (
  SELECT retailer_id, :today - day AS age, sum(amount) AS value,
    day - lag(day) OVER (PARTITION BY retailer_id ORDER BY day) AS gap
  FROM bill WHERE day > :today - 400 GROUP BY retailer_id, day
)
SELECT retailer_id,
  CASE WHEN count(gap) FILTER (age < 180) >= 3 THEN stddev_pop(gap) FILTER (age < 180)
    / avg(gap) FILTER (age < 180) END AS order_gap_cv_180d,
  max(gap) FILTER (age < 180) AS max_order_gap_180d,
  count(*) FILTER (age < 180) * 30.0 / least(max(age) + 1, 180) AS orders_per_month_180d,
  CASE WHEN count(*) FILTER (age < 180) >= 3 THEN stddev_pop(value) FILTER (age < 180)
    / avg(value) FILTER (age < 180) END AS order_value_cv_180d,
  count(DISTINCT age // 30) FILTER (age < 360) AS active_months_12m
FROM o GROUP BY 1;

CREATE TEMP TABLE account AS
WITH flow AS (
  SELECT retailer_id, distributor_id, :today - day AS age, amount, amount AS net, 1 AS is_bill, cash, disputed,
    due IS NOT NULL AS dated, false AS returned, NULL AS kind, NULL AS document_id, false AS stated FROM bill
  UNION ALL
  SELECT retailer_id, distributor_id, :today - day, amount,
    CASE WHEN kind = 'credit_note' AND NOT returned THEN -amount ELSE 0 END, 0, false, false, false, returned, kind,
    document_id, stated FROM money WHERE retailer_id IS NOT NULL
), sums AS (
  SELECT retailer_id, distributor_id, max(age) FILTER (is_bill = 1) AS oldest, min(age) FILTER (is_bill = 1) AS newest,
    coalesce(sum(amount) FILTER (is_bill = 1 AND age < 90), 0) AS gross_90,
    coalesce(sum(amount) FILTER (is_bill = 1 AND age < 180), 0) AS gross_180,
    coalesce(sum(amount) FILTER (kind = 'credit_note' AND age < 90), 0) AS back_90,
    coalesce(sum(amount) FILTER (kind = 'credit_note' AND age < 180), 0) AS back_180,
    count(*) FILTER (is_bill = 1 AND NOT cash AND age < 180) AS bills,
    count(*) FILTER (is_bill = 1 AND NOT cash AND age < 180 AND dated) AS dated,
    coalesce(sum(amount) FILTER (kind = 'payment' AND NOT returned AND age < 180), 0) AS receipts,
    coalesce(sum(amount) FILTER (kind = 'payment' AND NOT returned AND age < 180 AND stated), 0) AS told,
    count(DISTINCT document_id) FILTER (kind = 'payment' AND returned AND age < 180) AS bounced,
    [coalesce(sum(net) FILTER (age >= 0 AND age < 30), 0), coalesce(sum(net) FILTER (age >= 30 AND age < 60), 0),
     coalesce(sum(net) FILTER (age >= 60 AND age < 90), 0), coalesce(sum(net) FILTER (age >= 90 AND age < 120), 0),
     coalesce(sum(net) FILTER (age >= 120 AND age < 150), 0), coalesce(sum(net) FILTER (age >= 150 AND age < 180), 0)
    ] AS m
  FROM flow GROUP BY ALL
)
SELECT *, m[1] + m[2] + m[3] AS net_90, m[4] + m[5] + m[6] AS net_before, list_sum(m) AS net_180,
  CASE WHEN oldest >= 180 AND list_sum(m) > 0
    THEN (2.5 * m[1] + 1.5 * m[2] + 0.5 * m[3] - 0.5 * m[4] - 1.5 * m[5] - 2.5 * m[6]) / 17.5 * 6 / list_sum(m) END AS slope,
  CASE WHEN oldest >= 180 AND net_before > 0 THEN net_90 / net_before END AS ratio
FROM sums WHERE oldest IS NOT NULL;

CREATE TEMP TABLE norm AS
WITH everyone AS (
  SELECT median(slope) AS slope, median(ratio) AS ratio, count(*) AS n FROM account
  WHERE slope IS NOT NULL OR ratio IS NOT NULL
), own AS (
  SELECT distributor_id, median(slope) AS slope, median(ratio) AS ratio, count(*) AS n FROM account
  WHERE slope IS NOT NULL OR ratio IS NOT NULL GROUP BY 1
), feed AS (
  SELECT distributor_id, count(*) FILTER (kind = 'credit_note') > 0 AS returns_seen,
    1 - count(*) FILTER (retailer_id IS NULL AND day > :today - 180) / greatest(count(*) FILTER (day > :today - 180), 1)
      AS identified
  FROM (SELECT distributor_id, kind, retailer_id, day FROM money UNION ALL
        SELECT distributor_id, 'invoice', retailer_id, day FROM bill) GROUP BY 1
)
SELECT f.*, CASE WHEN own.n >= 10 THEN own.slope WHEN e.n >= 10 THEN e.slope ELSE 0 END AS slope_norm,
  CASE WHEN own.n >= 10 THEN own.ratio WHEN e.n >= 10 THEN e.ratio ELSE 1 END AS ratio_norm
FROM feed f LEFT JOIN own USING (distributor_id) CROSS JOIN everyone e;

CREATE TEMP TABLE by_account AS
WITH debt AS (
  SELECT retailer_id, distributor_id, sum(balance) AS open,
    coalesce(sum(balance) FILTER (is_open AND due_age > 0), 0) AS overdue,
    coalesce(sum(balance) FILTER (is_open AND due_age > 15), 0) AS overdue_15,
    max(due_age) FILTER (is_open AND due_age > 0) AS oldest_overdue
  FROM paid GROUP BY ALL
), a AS (
  SELECT a.*, coalesce(open, 0) AS open, coalesce(overdue, 0) AS overdue, coalesce(overdue_15, 0) AS overdue_15,
    coalesce(oldest_overdue, 0) AS oldest_overdue, n.returns_seen, n.identified, n.slope_norm, n.ratio_norm,
    least(oldest + 1, 180) AS feed_days,
    greatest(:today - greatest(:today - oldest, :today - 179, :coverage_first) + 1, 0) AS covered
  FROM account a LEFT JOIN debt USING (retailer_id, distributor_id) LEFT JOIN norm n USING (distributor_id)
)
SELECT retailer_id, sum(bounced) AS returned_payments_180d, min(newest) AS days_since_last_order,
  max(oldest) / 30.0 AS vintage_months,
  sum((slope - slope_norm) * net_180) FILTER (slope IS NOT NULL)
    / nullif(greatest(sum(net_180) FILTER (slope IS NOT NULL), 0), 0) AS gmv_slope_6m,
  sum(net_90) FILTER (ratio IS NOT NULL)
    / nullif(greatest(sum(net_before * ratio_norm) FILTER (ratio IS NOT NULL), 0), 0) AS gmv_ratio_90d,
  ln(greatest(sum(net_180), 0) / 100 + 1) AS gmv_log_180d,
  sum(back_180) FILTER (returns_seen) / nullif(sum(gross_180) FILTER (returns_seen), 0) AS return_rate_180d,
  sum(back_90) FILTER (returns_seen) / nullif(sum(gross_90) FILTER (returns_seen), 0)
    - sum(back_180 - back_90) FILTER (returns_seen) / nullif(sum(gross_180 - gross_90) FILTER (returns_seen), 0)
    AS return_rate_delta_90d,
  sum(open) / nullif(greatest(sum(net_180), 0), 0) AS outstanding_to_gmv,
  sum(overdue) / nullif(greatest(sum(net_180), 0), 0) AS overdue_to_gmv,
  max(oldest_overdue) AS oldest_overdue_days,
  CASE WHEN sum(open) > 0 THEN sum(overdue_15) / sum(open) ELSE 0 END AS overdue_15d_to_outstanding,
  sum(gross_180 * gross_180) / nullif(sum(gross_180) * sum(gross_180), 0) AS distributor_hhi_180d,
  count(*) FILTER (gross_180 > 0) AS distributor_count,
  least(30 * coalesce(sum(dated) / nullif(sum(bills), 0), 0) + 30 * coalesce(sum(told) / nullif(sum(receipts), 0), 0)
    + 20 * sum(covered) / sum(feed_days) + 10 * sum(identified * (gross_180 + 1)) / sum(gross_180 + 1)
    + 10 * sum(returns_seen::INT * (gross_180 + 1)) / sum(gross_180 + 1), 100) AS completeness_score
FROM a GROUP BY 1;

CREATE TEMP TABLE gold AS
SELECT * FROM by_account LEFT JOIN by_bill USING (retailer_id) LEFT JOIN by_order USING (retailer_id);
