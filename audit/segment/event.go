package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/gatehouse-io/gatehouse/audit"
)

// event makes the event of a row.
func (g *rowGroup) event(row int, bodies bool) *audit.Event {
	text := func(leaf int) string {
		s, _ := g.column(leaf).text(row)
		return s
	}
	e := &audit.Event{
		ID: text(colID), Stage: text(colStage), Level: text(colLevel), Verb: text(colVerb), URI: text(colURI),
		User: text(colUser), UID: text(colUID), Groups: g.column(colGroups).list(row),
		Extra:  g.extra(colExtraKey, colExtraValue, row),
		AsUser: text(colAsUser), AsUID: text(colAsUID), AsGroups: g.column(colAsGroups).list(row),
		AsExtra:    g.extra(colAsExtraKey, colAsExtraValue, row),
		Constraint: text(colConstraint), SourceIPs: g.column(colIPs).list(row), UserAgent: text(colUserAgent),
		APIGroup: text(colAPIGroup), APIVersion: text(colAPIVersion), Resource: text(colResource), Subresource: text(colSubresource),
		Namespace: text(colNamespace), Name: text(colName), ObjectUID: text(colObjectUID), ResourceVersion: text(colResourceVersion),
		Status: text(colStatus), StatusReason: text(colStatusReason), Message: text(colMessage),
		Annotations: g.annotations(row), Source: text(colSource), Unknown: g.column(colUnknown).list(row),
	}
	at, _ := g.column(colTime).number(row)
	e.Time = microseconds(at)
	if received, ok := g.column(colReceived).number(row); ok {
		e.Received = microseconds(received)
	}
	code, _ := g.column(colCode).number(row)
	e.Code = int32(code)
	truncated, _ := g.column(colTruncated).number(row)
	e.Truncated = truncated != 0
	if bodies {
		e.Request, e.Response = g.body(colRequest, row), g.body(colResponse, row)
	}
	return e
}

func (g *rowGroup) body(leaf, row int) []byte {
	r := g.column(leaf)
	if r.bounds.allNull(r.pageOf(row)) {
		return nil
	}
	r.load(row)
	i := r.at(row)
	if i < 0 {
		return nil
	}
	return append([]byte{}, r.bytesOf(i)...)
}

func (g *rowGroup) annotations(row int) map[string]string {
	if !g.column(colAnnotationKey).bounds.allNull(g.column(colAnnotationKey).pageOf(row)) {
		if len(g.column(colAnnotationKey).list(row)) > 0 {
			return g.makeAnnotations(row)
		}
	}
	decision, ok := g.column(colDecision).entry(row)
	reason, known := g.column(colReason).entry(row)
	if !ok || !known {
		return g.makeAnnotations(row)
	}
	all, ok := g.decided[[2]uint32{decision, reason}]
	if !ok {
		all = g.makeAnnotations(row)
		if len(g.decided) >= mostShared || g.decided == nil {
			g.decided = map[[2]uint32]map[string]string{}
		}
		g.decided[[2]uint32{decision, reason}] = all
	}
	return all
}

func (g *rowGroup) makeAnnotations(row int) map[string]string {
	var all map[string]string
	set := func(k, v string) {
		if all == nil {
			all = map[string]string{}
		}
		all[k] = v
	}
	if v, ok := g.column(colDecision).text(row); ok {
		set(audit.AnnotationDecision, v)
	}
	if v, ok := g.column(colReason).text(row); ok {
		set(audit.AnnotationReason, v)
	}
	keys := g.column(colAnnotationKey).list(row)
	if len(keys) == 0 {
		return all
	}
	found := g.column(colAnnotationValue).list(row)
	if len(found) != len(keys) {
		panic(damage{fmt.Errorf("row group %d, column annotations: row %d has %d keys and %d values", g.index, row, len(keys), len(found))})
	}
	for i, k := range keys {
		set(k, found[i])
	}
	return all
}

func (g *rowGroup) extra(key, value, row int) map[string][]string {
	if g.column(key).bounds.allNull(g.column(key).pageOf(row)) {
		return nil
	}
	// Tokens are used many times, and with each all of what they say.
	keys := g.column(key)
	const length = 4 // of the part of keys, which comes first
	sign := keys.appendKey(append(g.sign[:0], make([]byte, length)...), row)
	part := len(sign)
	binary.LittleEndian.PutUint32(sign, uint32(part))
	sign = g.column(value).appendKey(sign, row)
	g.sign = sign
	if part == length || len(sign) == part { // one of them has no dictionary
		return g.makeExtra(key, value, row)
	}
	if all, ok := keys.extras[string(sign)]; ok {
		return all
	}
	return keys.extras.keep(sign, g.makeExtra(key, value, row))
}

func (g *rowGroup) makeExtra(key, value, row int) map[string][]string {
	keys := g.column(key).list(row)
	if len(keys) == 0 {
		return nil
	}
	found := g.column(value).listsOf(row, len(keys))
	if len(found) != len(keys) {
		panic(damage{fmt.Errorf("row group %d, column %s: row %d has %d keys and %d lists", g.index, g.column(key).name(), row, len(keys), len(found))})
	}
	all := make(map[string][]string, len(keys))
	for i, k := range keys {
		all[k] = found[i]
	}
	return all
}
