-- The quarter's revenue for paint, a cell a row: provinces, areas and the country
-- by the second level of the projects and by all together.  Every column has a
-- heat scale of its own, from its lowest province to its highest.
WITH quarter AS (
    SELECT project::ltree, region::ltree, region_level, sum(revenue) AS revenue FROM chain.revenue_matrix
    WHERE project_level IN (0, 2) AND region_level BETWEEN 1 AND 3 GROUP BY 1, 2, 3
), cell AS (
    SELECT quarter.*, CASE WHEN region_level = 3 THEN settle.heat(revenue, min(revenue) OVER w, max(revenue) OVER w) END AS heat
    FROM quarter
    WINDOW w AS (PARTITION BY project, region_level)
)
SELECT region.path, region.name, coalesce(project.path::text, 'total'), branch.name, coalesce(project.name, '合计'),
       round(revenue / 1000), heat, settle.heat_color(heat)
FROM cell
JOIN shop.region ON region.path = cell.region
LEFT JOIN shop.project ON project.path = cell.project
LEFT JOIN shop.project branch ON branch.path = split_part(cell.project::text, '.', 1)::ltree
ORDER BY region.number, project.number NULLS LAST;
