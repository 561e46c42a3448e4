package gate

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func denied() *Trace {
	t := &Trace{
		Request: Request{User: "jane", Groups: []string{"devs", "system:authenticated"}, Verb: "delete", Resource: "pods", Name: "api-1", Namespace: "shop"},
		Steps: []Step{
			{Gate: "authorization", Part: "Guard", Opinion: NoOpinion, Reason: "no Guard touches this"},
			{Gate: "authorization", Part: "RBAC", Opinion: NoOpinion, Reason: "no rule allows it", Took: 12 * time.Microsecond, Misses: []Miss{{
				Sources: []Source{{Kind: "RoleBinding", Namespace: "shop", Name: "devs"}, {Kind: "ClusterRole", Name: "view", Part: "rules[0]", File: "rbac.yaml", Line: 7}},
				Lacks:   "verb delete",
			}}},
		},
	}
	t.Decide("authorization")
	return t
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	if err := denied().Print(&b, PrintOptions{}); err != nil {
		t.Fatal(err)
	}
	const want = `DENIED  jane (devs, system:authenticated) delete pods api-1 in namespace shop
  no part of authorization allows it

  authorization  Guard  no opinion  no Guard touches this
  authorization  RBAC   no opinion  no rule allows it
                        near        RoleBinding shop/devs, ClusterRole view rules[0] (rbac.yaml:7) lacks verb delete
`
	if got := b.String(); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

// The verdict is that of the first step of each gate that allows or denies, and a
// gate where none does denies.
func TestDecide(t *testing.T) {
	step := func(gate string, o Opinion) Step { return Step{Gate: gate, Opinion: o, Reason: gate + " " + string(o)} }
	for _, c := range []struct {
		steps []Step
		want  Opinion
		by    int // -1 for none
	}{
		{nil, Deny, -1},
		{[]Step{step("authorization", NoOpinion)}, Deny, -1},
		{[]Step{step("authorization", NoOpinion), step("authorization", Allow), step("authorization", Deny), step("admission", Allow)}, Allow, 3},
		{[]Step{step("authorization", Deny), step("authorization", Allow), step("admission", Allow)}, Deny, 0},
		{[]Step{step("authorization", Allow), step("admission", Mutate), step("admission", Warn)}, Deny, -1},
		{[]Step{step("authorization", Allow), step("admission", Warn), step("admission", Deny)}, Deny, 2},
	} {
		trace := &Trace{Steps: c.steps}
		trace.Decide("authorization", "admission")
		v := trace.Verdict
		if v.Opinion != c.want || (v.By == nil) != (c.by < 0) || v.By != nil && v.By != &trace.Steps[c.by] {
			t.Errorf("%v: %+v, want %v by %d", c.steps, v, c.want, c.by)
		}
	}
}

func TestRecorder(t *testing.T) {
	ctx := context.Background()
	RecorderFrom(ctx).Record(Step{Part: "lost"}) // nobody asked
	if got := RecorderFrom(ctx).Steps(); got != nil {
		t.Errorf("nobody has recorded %v", got)
	}
	r := &Recorder{}
	RecorderFrom(WithRecorder(ctx, r)).Record(Step{Part: "kept"})
	if got := r.Steps(); len(got) != 1 || got[0].Part != "kept" {
		t.Errorf("recorded %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { RecorderFrom(ctx).Record(Step{Part: "x"}) }); n != 0 {
		t.Errorf("recording for nobody makes %v allocations", n)
	}
}

// What is printed holds no character that steers a terminal, whatever it is made of.
func FuzzPlain(f *testing.F) {
	for _, text := range []string{"plain", "\x1b[2J", "a\nb\r\tc", "\u202eabc", "\xff\xfe", "\u009b31m", "\u2066x\u2069", "zero\u200bwidth"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Plain(text)
		if !utf8.ValidString(got) {
			t.Errorf("%q is no UTF-8", got)
		}
		for _, r := range got {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x206f {
				t.Errorf("%q holds %U", got, r)
			}
		}
		trace := denied()
		trace.Request.User, trace.Steps[0].Reason, trace.Steps[1].Misses[0].Lacks = text, text, text
		var b strings.Builder
		if err := trace.Print(&b, PrintOptions{Wide: true}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\r\x07\x08") || strings.Count(b.String(), "\n") != 6 {
			t.Errorf("%q makes %q", text, b.String())
		}
	})
}
