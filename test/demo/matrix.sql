-- The quarter's revenue by province and service for paint: one cell a row, the
-- areas and the total column among them.  Every column has a heat scale of its
-- own, from its lowest province to its highest.
WITH cell AS (
    SELECT subpath(region, 0, 2) AS area, subpath(region, 0, 3) AS province, subpath(project, 0, 2) AS project, sum(revenue) AS revenue
    FROM chain.revenue_matrix
    GROUP BY 1, 2, 3
), pivot AS (
    SELECT area, province, project, sum(revenue) AS revenue
    FROM cell
    GROUP BY GROUPING SETS ((area, province, project), (area, province), (area, project), (area), (project), ())
), heated AS (
    SELECT pivot.*, CASE WHEN province IS NOT NULL
                         THEN settle.heat_color(settle.heat(revenue, min(revenue) OVER w, max(revenue) OVER w)) END AS color
    FROM pivot
    WINDOW w AS (PARTITION BY project, province IS NULL)
)
SELECT coalesce(province.path, area.path, 'cn') AS row, coalesce(province.name, area.name, '全国') AS row_name,
       coalesce(heated.project, 'total') AS col, branch.name AS col_group, coalesce(project.name, '合计') AS col_name,
       round(revenue / 10000, 1), color
FROM heated
LEFT JOIN shop.area ON area.path = heated.area
LEFT JOIN shop.province ON province.path = heated.province
LEFT JOIN shop.project ON project.path = heated.project
LEFT JOIN shop.project branch ON branch.path = subpath(heated.project, 0, 1)
ORDER BY area.number NULLS FIRST, province.number NULLS FIRST, project.number NULLS LAST;
