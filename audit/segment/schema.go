package segment

import (
	"strings"

	"github.com/parquet-go/parquet-go"
)

// Version is what files of this schema carry under MetadataVersion.
const (
	Version         = "1"
	MetadataVersion = "gatehouse.audit.segment"
)

// row is the schema, one field a column. Its fields are never filled: columns are
// written and read one by one.
type row struct {
	StageTimestamp           int64               `parquet:"stage_timestamp,delta,timestamp(microsecond)"`
	RequestReceivedTimestamp int64               `parquet:"request_received_timestamp,optional,delta,timestamp(microsecond)"`
	AuditID                  string              `parquet:"audit_id,plain"`
	Stage                    string              `parquet:"stage,dict"`
	Level                    string              `parquet:"level,dict"`
	Verb                     string              `parquet:"verb,dict"`
	RequestURI               string              `parquet:"request_uri,plain"`
	UserName                 string              `parquet:"user_name,dict"`
	UserUID                  string              `parquet:"user_uid,dict"`
	UserGroups               []string            `parquet:"user_groups,list" parquet-element:",dict"`
	UserExtra                map[string][]string `parquet:"user_extra" parquet-key:",dict" parquet-value:",list,dict"`
	ImpersonatedUser         string              `parquet:"impersonated_user,dict"`
	ImpersonatedUID          string              `parquet:"impersonated_uid,dict"`
	ImpersonatedGroups       []string            `parquet:"impersonated_groups,list" parquet-element:",dict"`
	ImpersonatedExtra        map[string][]string `parquet:"impersonated_extra" parquet-key:",dict" parquet-value:",list,dict"`
	ImpersonationConstraint  string              `parquet:"impersonation_constraint,dict"`
	SourceIPs                []string            `parquet:"source_ips,list" parquet-element:",dict"`
	UserAgent                string              `parquet:"user_agent,dict"`
	APIGroup                 string              `parquet:"api_group,dict"`
	APIVersion               string              `parquet:"api_version,dict"`
	Resource                 string              `parquet:"resource,dict"`
	Subresource              string              `parquet:"subresource,dict"`
	Namespace                string              `parquet:"namespace,dict"`
	Name                     string              `parquet:"name,dict"`
	ObjectUID                string              `parquet:"object_uid,dict"`
	ResourceVersion          string              `parquet:"resource_version,plain"`
	Code                     int32               `parquet:"code,dict"`
	Status                   string              `parquet:"status,dict"`
	StatusReason             string              `parquet:"status_reason,dict"`
	StatusMessage            string              `parquet:"status_message,plain"`
	Decision                 string              `parquet:"decision,optional,dict"`
	DecisionReason           string              `parquet:"decision_reason,optional,dict"`
	Annotations              map[string]string   `parquet:"annotations" parquet-key:",dict" parquet-value:",plain"`
	RequestObject            string              `parquet:"request_object,optional,plain"`
	ResponseObject           string              `parquet:"response_object,optional,plain"`
	Truncated                bool                `parquet:"truncated"`
	Source                   string              `parquet:"source,dict"`
	Unknown                  []string            `parquet:"unknown,list" parquet-element:",dict"`
}

// The leaf columns in the order of the schema. A map has two, its keys and its values.
const (
	colTime = iota
	colReceived
	colID
	colStage
	colLevel
	colVerb
	colURI
	colUser
	colUID
	colGroups
	colExtraKey
	colExtraValue
	colAsUser
	colAsUID
	colAsGroups
	colAsExtraKey
	colAsExtraValue
	colConstraint
	colIPs
	colUserAgent
	colAPIGroup
	colAPIVersion
	colResource
	colSubresource
	colNamespace
	colName
	colObjectUID
	colResourceVersion
	colCode
	colStatus
	colStatusReason
	colMessage
	colDecision
	colReason
	colAnnotationKey
	colAnnotationValue
	colRequest
	colResponse
	colTruncated
	colSource
	colUnknown
	columns // how many there are
)

// maxLevels are the repetition and definition levels of each leaf, where they are not 0.
var maxLevels = [columns]struct{ repetition, definition byte }{
	colReceived: {0, 1}, colDecision: {0, 1}, colReason: {0, 1}, colRequest: {0, 1}, colResponse: {0, 1},
	colGroups: {1, 1}, colAsGroups: {1, 1}, colIPs: {1, 1}, colUnknown: {1, 1},
	colExtraKey: {1, 1}, colExtraValue: {2, 2}, colAsExtraKey: {1, 1}, colAsExtraValue: {2, 2},
	colAnnotationKey: {1, 1}, colAnnotationValue: {1, 1},
}

// newSchema is the schema of a segment.
func newSchema() *parquet.Schema { return parquet.NewSchema("audit_event", parquet.SchemaOf(row{})) }

// Column is one column of the files, as an engine sees it.
type Column struct {
	Name string
	// Type is timestamp, string, int, bool, list(string), map(string,string) or
	// map(string,list(string)).
	Type string
	// Nullable says that it can be NULL. Those that cannot are empty where an event
	// has no such field.
	Nullable bool
}

// Columns are the columns of the files, in order.
func Columns() []Column {
	var all []Column
	for _, f := range newSchema().Fields() {
		c := Column{Name: f.Name(), Nullable: f.Optional()}
		switch {
		case f.Leaf():
			c.Type = leafType(f)
		case len(f.Fields()) == 1 && f.Fields()[0].Name() == "list":
			c.Type = "list(string)"
		default:
			c.Type = "map(string,string)"
			if value := f.Fields()[0].Fields()[1]; !value.Leaf() {
				c.Type = "map(string,list(string))"
			}
		}
		all = append(all, c)
	}
	return all
}

func leafType(f parquet.Node) string {
	switch f.Type().Kind() {
	case parquet.Int64:
		return "timestamp"
	case parquet.Int32:
		return "int"
	case parquet.Boolean:
		return "bool"
	}
	return "string"
}

// leafName is the name of the column that a leaf belongs to.
func leafName(schema *parquet.Schema, leaf int) string {
	return strings.Join(schema.Columns()[leaf], ".")
}
