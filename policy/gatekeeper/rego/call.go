package rego

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// pure are the functions whose value is decided by their arguments: by no clock, no chance,
// nothing that is looked up elsewhere. One that OPA may add is not among them by itself.
var pure = strings.Fields(`
	gt gte lt lte neq equal plus minus mul div round ceil floor abs rem
	internal.member_2 internal.member_3 internal.template_string
	bits.or bits.and bits.negate bits.xor bits.lsh bits.rsh
	and or intersection union set_diff count sum product max min sort all any
	array.concat array.flatten array.slice array.reverse
	to_number format_int numbers.range numbers.range_step units.parse units.parse_bytes
	regex.match regex.is_valid regex.find_all_string_submatch_n regex.template_match regex.split regex.find_n regex.globs_match regex.replace re_match
	strings.any_prefix_match strings.any_suffix_match strings.count strings.replace_n strings.reverse
	concat indexof indexof_n substring contains startswith endswith lower upper split replace sprintf
	trim trim_left trim_prefix trim_right trim_suffix trim_space
	json.filter json.remove json.patch json.marshal json.marshal_with_options json.unmarshal json.is_valid
	object.subset object.union object.union_n object.remove object.filter object.get object.keys
	base64.encode base64.decode base64.is_valid base64url.encode base64url.encode_no_pad base64url.decode
	urlquery.decode urlquery.encode urlquery.encode_object urlquery.decode_object uri.parse uri.is_valid
	yaml.marshal yaml.unmarshal yaml.is_valid hex.encode hex.decode
	time.parse_rfc3339_ns time.parse_duration_ns
	crypto.md5 crypto.sha1 crypto.sha256 uuid.parse
	walk graph.reachable graph.reachable_paths
	is_number is_string is_boolean is_array is_set is_object is_null type_name
	cast_array cast_set cast_string cast_boolean cast_null cast_object
	glob.match glob.quote_meta
	net.cidr_intersects net.cidr_expand net.cidr_contains net.cidr_contains_matches net.cidr_merge net.cidr_is_valid net.cidr_overlap
	semver.is_valid semver.compare`)

// typed are those that look at nothing but the type.
var typed = strings.Fields("is_number is_string is_boolean is_array is_object is_null type_name")

// call is a function with its arguments, and behind them what it returns, if that is of
// use.
func (w *walk) call(terms []*ast.Term) {
	ref, ok := terms[0].Value.(ast.Ref)
	n := w.takes(terms[0])
	if !ok || len(terms)-1 < n || len(terms)-1 > n+1 {
		w.fail("a call is not followed: " + terms[0].String())
		return
	}
	given := terms[1 : 1+n]
	var returned *alias
	if name, steps := w.documentName(ref); name != "" && steps == len(ref) {
		returned = w.callRule(w.documents[name], given)
	} else if name = ref.String(); slices.Contains(pure, name) && !ast.BuiltinMap[name].IsNondeterministic() {
		returned = w.callBuiltin(name, given)
	} else {
		w.fail("it calls " + name)
		return
	}
	if len(terms) > 1+n {
		w.bind(terms[1+n], returned)
	} else {
		w.requireAll(returned.paths, whole) // it must not be false
	}
}

func (w *walk) callRule(d *document, given []*ast.Term) *alias {
	if d.kind != function {
		w.fail("a call is not followed: " + d.name)
		return unknown()
	}
	w.uses(d)
	if d.why != "" {
		return unknown()
	}
	for i, arg := range given {
		if w.join(&d.parameters[i], w.part(arg)) {
			w.changed = true
		}
	}
	return &d.value
}

func (w *walk) callBuiltin(name string, given []*ast.Term) *alias {
	switch {
	case name == ast.ObjectGet.Name:
		if a := w.get(given[0], given[1], given[2]); a != nil {
			return a
		}
	case name == ast.Sprintf.Name && scalar(given[0]):
		// It is a text whatever is put in; what that is counts where the text does.
		if a := w.part(given[1]); len(a.paths) == 0 {
			return w.made(true, a.content())
		}
	case name == ast.Count.Name:
		// The elements of a list that was made are as many whatever they are.
		if a := w.part(given[0]); len(a.paths) == 0 && !a.melted {
			return unknown()
		}
	case slices.Contains(typed, name):
		w.requireAll(w.part(given[0]).paths, shape)
		return unknown()
	}
	for _, arg := range given {
		w.readWhole(w.term(arg))
	}
	return unknown()
}

// get is object.get: a field or the default; nil where what it looks for is not known.
func (w *walk) get(from, by, otherwise *ast.Term) *alias {
	at := w.part(from)
	for path := range at.paths {
		if path != inInput && path != inReview {
			w.require(path, shape) // only an object has fields
		}
	}
	steps := []*ast.Term{by}
	if list, ok := by.Value.(*ast.Array); ok {
		steps = nil
		list.Foreach(func(step *ast.Term) { steps = append(steps, step) })
	} else if name := w.term(by); name.constants() == nil && (w.last || !name.empty()) {
		return nil // it may be a list of names
	}
	for _, step := range steps {
		at = w.lookup(at, step)
	}
	found := &alias{}
	w.join(found, at)
	w.join(found, w.part(otherwise))
	return found
}
