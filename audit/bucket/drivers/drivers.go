// Package drivers opens buckets of every provider by URL. It alone links their SDKs, so
// that only what needs them has them.
//
//	b, err := drivers.Open(ctx, "s3://acme-audit/prod?region=eu-central-1")
//
// The schemes are s3, gs, azblob, file and, for tests, mem. What follows the bucket's name
// is a prefix of all keys. Parameters behind ? are those of gocloud.dev/blob (for S3 also
// endpoint and s3ForcePathStyle, for stores that are compatible); credentials are those
// of the provider's environment, and never in the URL.
package drivers

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/memblob"   // mem://
	_ "gocloud.dev/blob/s3blob"    // s3://
)

// schemes are those of URLs that Open knows.
var schemes = []string{"s3", "gs", "azblob", "file", "mem"}

// IsURL reports whether a place is a bucket, and not a folder of this machine.
func IsURL(place string) bool {
	scheme, _, ok := strings.Cut(place, "://")
	if !ok {
		return false
	}
	for _, s := range schemes {
		if s == scheme {
			return true
		}
	}
	return false
}

// Open opens a bucket. It is to be closed.
func Open(ctx context.Context, place string) (*blob.Bucket, error) {
	u, err := url.Parse(place)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", redacted(err))
	}
	if !IsURL(place) {
		return nil, fmt.Errorf("open bucket %s: the schemes are %s", u.Redacted(), strings.Join(schemes, ", "))
	}
	if u.User != nil {
		return nil, fmt.Errorf("open bucket %s: credentials do not belong in the URL; they are taken from the environment", u.Redacted())
	}
	prefix := ""
	switch u.Scheme {
	case "file":
		q := u.Query()
		q.Set("create_dir", "true")
		q.Set("no_tmp_dir", "true") // beside the file, so that renaming it is one step
		q.Set("metadata", "skip")   // no files beside those of ours
		u.RawQuery = q.Encode()
	default:
		prefix = strings.Trim(u.Path, "/")
		u.Path, u.RawPath = "", ""
	}
	b, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", u.Redacted(), err)
	}
	if prefix != "" {
		b = blob.PrefixedBucket(b, prefix+"/")
	}
	return b, nil
}

// redacted is an error about a URL without the URL, which may hold what it should not.
func redacted(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}
