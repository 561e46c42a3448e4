package rules_test

import (
	"bytes"
	"reflect"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// TestRepetitions holds the events of an example that repeats some against those of the
// same example with every event written out.
func TestRepetitions(t *testing.T) {
	repeated := 0
	for _, r := range compiled(t).Rules() {
		for _, x := range append(r.Spec.Examples.Positive, r.Spec.Examples.Negative...) {
			var out v1alpha1.DetectionExample
			at := time.Duration(0)
			for _, e := range x.Events {
				every := time.Second
				if e.Every != nil {
					every = e.Every.Duration
				}
				if e.At != nil {
					at = e.At.Duration
				}
				for n := range max(e.Repeat, 1) {
					if n > 0 {
						at += every
						repeated++
					}
					one := v1alpha1.DetectionEvent{At: &metav1.Duration{Duration: at}}
					one.Event.Raw = bytes.ReplaceAll(e.Event.Raw, []byte("{n}"), []byte(strconv.Itoa(int(n)+1)))
					out.Events = append(out.Events, one)
				}
			}
			got, err := detect.ExampleEvents(&x)
			if err != nil {
				t.Fatalf("%s: %v", r.Name, err)
			}
			want, err := detect.ExampleEvents(&out)
			if err != nil {
				t.Fatalf("%s: %v", r.Name, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s: the events are others when they are written out", r.Name, x.Says)
			}
		}
	}
	if repeated < 10000 {
		t.Errorf("only %d repetitions", repeated)
	}
}
