package bucket

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/gatehouse-io/gatehouse/audit/chain"
)

// Place is who has written a part of a bucket.
type Place struct{ Cluster, Replica string }

// Replicas are those that have written to a bucket; of one cluster, or of all where it is
// empty.
func Replicas(ctx context.Context, b *blob.Bucket, cluster string) ([]Place, error) {
	clusters := []string{own + clusterFolder(cluster)}
	if cluster == "" {
		var err error
		if clusters, err = folders(ctx, b, own, "cluster="); err != nil {
			return nil, err
		}
	}
	var all []Place
	for _, c := range clusters {
		names, err := folders(ctx, b, c, "")
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			all = append(all, Place{strings.TrimSuffix(strings.TrimPrefix(c, own+"cluster="), "/"), strings.TrimSuffix(strings.TrimPrefix(n, c), "/")})
		}
	}
	return all, nil
}

// Strays are the files in partitions that no replica can have written by their names: no
// chain speaks of them, and engines read them even so.
func Strays(ctx context.Context, b *blob.Bucket, cluster string) (keys []string, err error) {
	replicas, err := Replicas(ctx, b, cluster)
	if err != nil {
		return nil, err
	}
	prefix := "cluster="
	if cluster != "" {
		prefix = clusterFolder(cluster)
	}
	for o, err := range objects(ctx, b, &blob.ListOptions{Prefix: prefix}) {
		if err != nil {
			return nil, err
		}
		folder, name := o.Key[:strings.LastIndexByte(o.Key, '/')+1], o.Key[strings.LastIndexByte(o.Key, '/')+1:]
		if !slices.ContainsFunc(replicas, func(p Place) bool {
			return isOf(p.Replica, name) && strings.HasPrefix(folder, clusterFolder(p.Cluster)+"day=")
		}) {
			keys = append(keys, o.Key)
		}
	}
	return keys, nil
}

// VerifyOptions say what is asked of a bucket.
type VerifyOptions struct {
	// Keys are the public keys of the installations that may have written. Where there is
	// none, the key that lies in the bucket is believed: what was changed without making
	// all of a chain anew is found even so.
	Keys []chain.PublicKey
	// Since is the time that is looked at; segments that end before it may have expired.
	// Zero is all.
	Since time.Time
	// Heads are the heads that were seen before, by replica.
	Heads map[Place]*chain.Head
	// LinksOnly leaves out hashing the segments.
	LinksOnly bool
	Progress  func(p Place, l *chain.Link, done, of int)
}

// Verify looks at the chain of one replica.
func Verify(ctx context.Context, b *blob.Bucket, p Place, o VerifyOptions) (chain.Report, error) {
	key, err := keyOf(ctx, b, p, o.Keys)
	if err != nil {
		return chain.Report{}, fmt.Errorf("verify replica %s of cluster %s: %w", p.Replica, p.Cluster, err)
	}
	options := chain.VerifyOptions{Key: &key, ExpectHead: o.Heads[p], LinksOnly: o.LinksOnly}
	if !o.Since.IsZero() {
		options.Expired = func(l *chain.Link) bool { return l.Last.Before(o.Since) }
	}
	if o.Progress != nil {
		options.Progress = func(l *chain.Link, done, of int) { o.Progress(p, l, done, of) }
	}
	source := &source{bucket: b, place: p}
	report, err := chain.Verify(ctx, source, options)
	if err != nil {
		return report, fmt.Errorf("verify replica %s of cluster %s: %w", p.Replica, p.Cluster, err)
	}
	if report.Fault == nil {
		report.Fault = source.misplaced
	}
	return report, nil
}

func keyOf(ctx context.Context, b *blob.Bucket, p Place, keys []chain.PublicKey) (chain.PublicKey, error) {
	s, found, err := readState(ctx, b, p.Cluster, p.Replica)
	if err != nil {
		return chain.PublicKey{}, err
	}
	if i := slices.IndexFunc(keys, func(k chain.PublicKey) bool { return found && k.ID() == s.Head.Key }); i >= 0 {
		return keys[i], nil
	}
	if len(keys) > 0 {
		return keys[0], nil // which has not signed, as the report says
	}
	data, err := b.ReadAll(ctx, keyKey(p.Cluster, p.Replica))
	if err != nil {
		return chain.PublicKey{}, fmt.Errorf("read its public key: %w", err)
	}
	return chain.ParsePublicKey(data)
}

// source is the chain of a replica in a bucket.
type source struct {
	bucket *blob.Bucket
	place  Place
	// keys are the objects of segments, by name. misplaced is the first that is in the
	// partition of another day than its link says.
	keys      map[string]string
	misplaced *chain.Fault
}

// Names implements chain.Source.
func (s *source) Names(ctx context.Context) (names []string, err error) {
	s.keys = map[string]string{}
	for o, err := range objects(ctx, s.bucket, &blob.ListOptions{Prefix: clusterFolder(s.place.Cluster)}) {
		if err != nil {
			return nil, err
		}
		name := o.Key[strings.LastIndexByte(o.Key, '/')+1:]
		if !isOf(s.place.Replica, name) {
			continue
		}
		if other, twice := s.keys[name]; twice {
			s.misplace(name, fmt.Sprintf("it is there twice: %s and %s", other, o.Key))
			continue
		}
		s.keys[name] = o.Key
		names = append(names, name)
	}
	links := linkKey(s.place.Cluster, s.place.Replica, "")
	for o, err := range objects(ctx, s.bucket, &blob.ListOptions{Prefix: links}) {
		if err != nil {
			return nil, err
		}
		names = append(names, strings.TrimPrefix(o.Key, links))
	}
	return names, nil
}

func (s *source) misplace(name, detail string) {
	if s.misplaced == nil {
		s.misplaced = &chain.Fault{Kind: chain.Reordered, Segment: name, Detail: detail}
	}
}

// Read implements chain.Source.
func (s *source) Read(ctx context.Context, name string) ([]byte, error) {
	if name == chain.HeadName {
		state, found, err := readState(ctx, s.bucket, s.place.Cluster, s.place.Replica)
		if err != nil {
			return nil, err
		}
		if !found || state.Head.Sequence == 0 {
			return nil, fs.ErrNotExist
		}
		return json.Marshal(&state.Head)
	}
	data, err := s.bucket.ReadAll(ctx, linkKey(s.place.Cluster, s.place.Replica, name))
	if notFound(err) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	if l, err := chain.ParseLink(data); err == nil {
		if key, ok := s.keys[l.Segment]; ok && key != dayFolder(s.place.Cluster, dayOf(l.First))+l.Segment {
			s.misplace(l.Segment, fmt.Sprintf("it is at %s, and has events of %s", key, dayOf(l.First)))
		}
	}
	return data, nil
}

// Open implements chain.Source.
func (s *source) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := s.bucket.NewReader(ctx, s.keys[name], nil)
	if notFound(err) {
		return nil, fs.ErrNotExist
	}
	return r, err
}
