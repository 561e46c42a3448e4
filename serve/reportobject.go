package serve

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/gatehouse-io/gatehouse/policy/scan"
)

// reportLabels are those of every report.
var reportLabels = map[string]string{"app.kubernetes.io/managed-by": "gatehouse"}

// object is a report as clients see it.
func (k *reportKind) object(r *scan.Report) *unstructured.Unstructured {
	n := r.Counts()
	results := make([]any, len(r.Findings))
	at := map[string]any{"seconds": r.Judged.Unix(), "nanos": int64(r.Judged.Nanosecond())}
	for i := range r.Findings {
		f := &r.Findings[i]
		rule := f.Rule()
		result := map[string]any{
			"source": "gatehouse", "policy": rule.Policy, "result": f.Verdict.String(), "scored": f.Verdict != scan.Warn, "message": f.Message(), "timestamp": at,
		}
		if rule.Part != "" {
			result["rule"] = rule.Part
		}
		properties := map[string]any{}
		for _, p := range []struct{ key, value string }{
			{"kind", rule.Kind}, {"namespace", rule.Namespace}, {"binding", rule.Binding}, {"exception", rule.Exception}, {"actions", rule.Actions}, {"field", f.Path()},
		} {
			if p.value != "" {
				properties[p.key] = p.value
			}
		}
		result["properties"] = properties
		results[i] = result
	}
	scope := map[string]any{"apiVersion": r.Kind.GroupVersion().String(), "kind": r.Kind.Kind, "name": r.Name, "uid": string(r.UID), "resourceVersion": r.ResourceVersion}
	if r.Namespace != "" {
		scope["namespace"] = r.Namespace
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": k.kind.GroupVersion().String(), "kind": k.kind.Kind,
		"scope": scope, "results": results,
		"summary": map[string]any{"pass": int64(n[scan.Pass]), "fail": int64(n[scan.Fail]), "warn": int64(n[scan.Warn]), "error": int64(n[scan.Error]), "skip": int64(n[scan.Skip])},
	}}
	o.SetName(string(r.UID))
	o.SetNamespace(r.Namespace)
	o.SetLabels(reportLabels)
	o.SetResourceVersion(k.written(r.Version))
	o.SetCreationTimestamp(metav1.NewTime(r.Since))
	sum := sha256.Sum256([]byte(r.UID)) // one of its own, the same each time
	o.SetUID(types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])))
	return o
}

// ConvertToTable implements rest.TableConvertor.
func (k *reportKind) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if opts, ok := options.(*metav1.TableOptions); !ok || !opts.NoHeaders {
		table.ColumnDefinitions = []metav1.TableColumnDefinition{
			{Name: "Name", Type: "string", Format: "name", Description: "The UID of the object."},
			{Name: "Kind", Type: "string", Description: "The kind of the object."},
			{Name: "Object", Type: "string", Description: "The name of the object."},
			{Name: "Pass", Type: "integer", Description: "Policies that were asked and said nothing."},
			{Name: "Fail", Type: "integer", Description: "Policies that would refuse the object."},
			{Name: "Warn", Type: "integer", Description: "Policies that it breaks and that do not refuse it."},
			{Name: "Error", Type: "integer", Description: "Policies that could not be evaluated."},
			{Name: "Skip", Type: "integer", Description: "Policies that it breaks, and an Exception lets it."},
			{Name: "Age", Type: "date", Description: "Since when there is something to say of the object."},
		}
	}
	row := func(o *unstructured.Unstructured) {
		text := func(path ...string) string { s, _, _ := unstructured.NestedString(o.Object, path...); return s }
		count := func(of string) int64 { n, _, _ := unstructured.NestedInt64(o.Object, "summary", of); return n }
		age := "<unknown>"
		if at := o.GetCreationTimestamp(); !at.IsZero() {
			age = duration.HumanDuration(time.Since(at.Time))
		}
		table.Rows = append(table.Rows, metav1.TableRow{Object: runtime.RawExtension{Object: o}, Cells: []any{
			o.GetName(), text("scope", "kind"), text("scope", "name"), count("pass"), count("fail"), count("warn"), count("error"), count("skip"), age,
		}})
	}
	switch o := object.(type) {
	case *unstructured.Unstructured:
		row(o)
	case *unstructured.UnstructuredList:
		for i := range o.Items {
			row(&o.Items[i])
		}
	}
	if m, err := meta.ListAccessor(object); err == nil {
		table.ResourceVersion, table.Continue, table.RemainingItemCount = m.GetResourceVersion(), m.GetContinue(), m.GetRemainingItemCount()
	} else if m, err := meta.CommonAccessor(object); err == nil {
		table.ResourceVersion = m.GetResourceVersion()
	}
	return table, nil
}
