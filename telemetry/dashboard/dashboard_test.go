package dashboard_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/telemetry/dashboard"
)

// shown is what a test reads of a dashboard.
type shown struct {
	UID, Title string
	Panels     []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			RefID, Expr, LegendFormat string
		}
	}
	Templating struct {
		List []struct{ Name, Query string }
	}
}

func TestDashboards(t *testing.T) {
	all, err := dashboard.All(dashboard.Options{Selector: `job="edge"`})
	if err != nil {
		t.Fatal(err)
	}
	titles := map[string]bool{}
	for i := range all {
		d := &all[i]
		data, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := d.JSON(); !bytes.Equal(data, again) {
			t.Errorf("%s is written in two ways", d.ID)
		}
		var s shown
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		if s.UID != d.ID || len(s.UID) > 40 || titles[s.Title] {
			t.Errorf("uid %q and title %q are not good ones", s.UID, s.Title)
		}
		titles[s.Title] = true
		if !strings.Contains(s.Templating.List[1].Query, `job="edge"`) {
			t.Errorf("%s lets one choose instances of others: %s", d.ID, s.Templating.List[1].Query)
		}
		ids, taken, queries := map[int]bool{}, map[[2]int]string{}, 0
		for _, p := range s.Panels {
			if ids[p.ID] {
				t.Errorf("%s has two panels %d", d.ID, p.ID)
			}
			ids[p.ID] = true
			g := p.GridPos
			if g.W < 3 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
				t.Errorf("%s: %s stands at %+v", d.ID, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						t.Fatalf("%s: %s stands on %s", d.ID, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: %s shows nothing", d.ID, p.Title)
			}
			for _, q := range p.Targets {
				queries++
				if strings.Contains(q.Expr, "{$") || strings.Contains(q.Expr, "$rate]") || q.LegendFormat == "" {
					t.Errorf("%s: %s: %+v is not finished", d.ID, p.Title, q)
				}
				if !strings.Contains(q.Expr, `job="edge",instance=~"$instance"`) && !strings.Contains(q.Expr, "gatehouse:slo_errors") {
					t.Errorf("%s: %s asks for the series of anybody: %s", d.ID, p.Title, q.Expr)
				}
			}
		}
		if queries < len(d.Queries()) {
			t.Errorf("%s shows %d queries, and has %d", d.ID, queries, len(d.Queries()))
		}

		object, err := d.ConfigMap("monitoring")
		if err != nil {
			t.Fatal(err)
		}
		var config struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
			Data     map[string]string
		}
		if err := yaml.Unmarshal(object, &config); err != nil || config.Kind != "ConfigMap" || config.Metadata.Namespace != "monitoring" || config.Data[d.ID+".json"] != string(data) {
			t.Errorf("%s: its ConfigMap is not it: %v", d.ID, err)
		}
	}
	if len(all) != 7 {
		t.Errorf("there are %d dashboards", len(all))
	}
	if _, err := dashboard.All(dashboard.Options{Selector: "{}"}); err == nil {
		t.Error("braces are taken")
	}
}
