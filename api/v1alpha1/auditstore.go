package v1alpha1

import (
	"math"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Of AuditStoreOptions.Overflow.
const (
	OverflowBlock = "Block"
	OverflowDrop  = "Drop"
)

// clusterName can be a folder, and a label of a metric (audit/bucket has the same rule).
var clusterName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// setDefaults fills in what both mounts have in common.
func (o *AuditStoreOptions) setDefaults() {
	setDefaultPointer(&o.MaxAgeDays, 90)
	setDefaultPointer(&o.MaxSize, resource.MustParse("10Gi"))
	setDefault(&o.Overflow, OverflowBlock)
	setDefaultPointer(&o.SyncInterval, metav1.Duration{Duration: defaultAuditSync})
	setDefault(&o.Cluster, "default")
}

func (v *validator) auditStore(o *AuditStoreOptions, p *field.Path) {
	if n := o.MaxAgeDays; n != nil && (*n < 0 || *n > math.MaxInt16) {
		v.add(field.Invalid(p.Child("maxAgeDays"), *n, "want a number of days; 0 keeps them without end"))
	}
	if q := o.MaxSize; q != nil {
		if q.Sign() < 0 {
			v.add(field.Invalid(p.Child("maxSize"), q.String(), "must not be negative; 0 is without bound"))
		} else {
			v.fitsInt64(q.AsInt64, q.String(), p.Child("maxSize"))
		}
	}
	v.oneOf(o.Overflow, p.Child("overflow"), OverflowBlock, OverflowDrop)
	if d := o.SyncInterval; d != nil && d.Duration < 0 {
		v.add(field.Invalid(p.Child("syncInterval"), d.Duration.String(), "must not be negative"))
	}
	if o.Publish != "" {
		u, err := url.Parse(o.Publish)
		switch {
		case err != nil || u.Scheme == "":
			v.add(field.Invalid(p.Child("publish"), withoutSecrets(o.Publish), "want the URL of a bucket, such as s3://audit?region=eu-central-1"))
		case u.User != nil:
			v.add(field.Invalid(p.Child("publish"), withoutSecrets(o.Publish), "must not hold a credential; it is taken from the environment"))
		default:
			v.oneOf(u.Scheme, p.Child("publish"), "s3", "gs", "azblob", "file")
		}
	}
	if c := o.Cluster; c != "" && (!clusterName.MatchString(c) || strings.Contains(c, "..")) {
		v.add(field.Invalid(p.Child("cluster"), c, "want lower-case letters, digits, - and . , 63 at most"))
	}
}

// collector refuses what is not host:port.
func (v *validator) collector(endpoint string, p *field.Path) {
	if endpoint == "" {
		return
	}
	host, port, err := net.SplitHostPort(endpoint)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 || !isHost(host) {
		v.add(field.Invalid(p, withoutSecrets(endpoint), "want HOST:PORT of an OTLP gRPC collector, without a scheme, such as localhost:4317"))
	}
}
