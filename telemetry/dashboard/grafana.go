package dashboard

import (
	"encoding/json"
	"fmt"
)

// The page is 24 wide; rows of panels are 8 high, numbers 4.
const (
	pageWidth  = 24
	lineHeight = 8
	statHeight = 4
)

// JSON is the dashboard as Grafana takes it.
func (d *Dashboard) JSON() ([]byte, error) {
	source := map[string]any{"type": "prometheus", "uid": "${datasource}"}
	var panels []any
	id, y := 0, 0
	next := func() int { id++; return id }
	for _, row := range d.Rows {
		panels = append(panels, map[string]any{
			"id": next(), "type": "row", "title": row.Title, "collapsed": false, "panels": []any{},
			"gridPos": place(0, y, pageWidth, 1),
		})
		y++
		width, height := pageWidth/max(len(row.Panels), 1), statHeight
		for _, p := range row.Panels {
			if !p.Stat {
				height = lineHeight
			}
		}
		for i, p := range row.Panels {
			panels = append(panels, p.object(next(), place(i*width, y, width, height), source))
		}
		y += height
	}
	data, err := json.MarshalIndent(map[string]any{
		"uid": d.ID, "title": d.Title, "description": d.About, "tags": []string{"gatehouse"},
		"schemaVersion": 36, "version": 1, "editable": true, "graphTooltip": 1,
		"time": map[string]string{"from": "now-6h", "to": "now"}, "refresh": "30s", "timezone": "browser",
		"links": []any{map[string]any{"type": "dashboards", "tags": []string{"gatehouse"}, "title": "Gatehouse", "asDropdown": true, "includeVars": true, "keepTime": true}},
		"templating": map[string]any{"list": []any{
			map[string]any{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": map[string]any{}, "hide": 0},
			map[string]any{
				"name": "instance", "label": "Instance", "type": "query", "datasource": source, "refresh": 2, "sort": 1,
				"multi": true, "includeAll": true, "allValue": ".*", "query": d.instances(), "definition": d.instances(),
				"current": map[string]any{"text": "All", "value": "$__all"},
			},
		}},
		"panels": panels,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write dashboard %s: %w", d.ID, err)
	}
	return append(data, '\n'), nil
}

// instances are what can be chosen.
func (d *Dashboard) instances() string {
	return "label_values(process_start_time_seconds{" + d.selector + "}, instance)"
}

func place(x, y, w, h int) map[string]int { return map[string]int{"x": x, "y": y, "w": w, "h": h} }

func (p *Panel) object(id int, at map[string]int, source map[string]any) map[string]any {
	var targets []any
	for i, q := range p.Queries {
		targets = append(targets, map[string]any{
			"refId": string(rune('A' + i)), "datasource": source, "expr": q.Expr, "legendFormat": q.Legend, "range": !p.Stat, "instant": p.Stat,
		})
	}
	unit := p.Unit
	if unit == "" {
		unit = "short"
	}
	defaults := map[string]any{"unit": unit, "min": 0}
	if p.BadAbove != nil {
		defaults["thresholds"] = map[string]any{"mode": "absolute", "steps": []any{
			map[string]any{"color": "green", "value": nil}, map[string]any{"color": "red", "value": *p.BadAbove},
		}}
	}
	object := map[string]any{
		"id": id, "title": p.Title, "gridPos": at, "datasource": source, "targets": targets,
		"fieldConfig": map[string]any{"defaults": defaults, "overrides": []any{}},
	}
	if p.About != "" {
		object["description"] = p.About
	}
	if p.Stat {
		object["type"] = "stat"
		object["options"] = map[string]any{"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}, "colorMode": "value", "graphMode": "none"}
		return object
	}
	object["type"] = "timeseries"
	custom := map[string]any{"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}
	if p.Stack {
		custom["fillOpacity"], custom["stacking"] = 40, map[string]string{"mode": "normal", "group": "A"}
	}
	defaults["custom"] = custom
	object["options"] = map[string]any{
		"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip": map[string]string{"mode": "multi", "sort": "desc"},
	}
	return object
}
