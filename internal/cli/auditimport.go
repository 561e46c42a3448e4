package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"
	"unsafe"

	"github.com/spf13/cobra"
	"gocloud.dev/blob"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/bucket/drivers"
	"github.com/gatehouse-io/gatehouse/audit/format"
	"github.com/gatehouse-io/gatehouse/audit/redact"
	"github.com/gatehouse-io/gatehouse/audit/store"
)

const (
	// importBytes is how much is handed to the store at once, but for an event: what a
	// processor's cache holds, and what fills the store's memory of 1 MiB pieces well.
	importBytes = 120 << 10
	// mostAside is how much is kept aside of one import.
	mostAside = 16 << 20
)

// clusterAnnotation says which cluster an imported event is of.
const clusterAnnotation = "audit.gatehouse.io/cluster"

func newAuditImport() *cobra.Command {
	var o struct{ store, format, cluster, output string }
	cmd := &cobra.Command{
		Use:   "import FILE|DIR|-… --store DIR|URL",
		Short: "Bring audit logs of any cluster into a store",
		Long: `Bring audit logs into a store: files, folders with all in them, or stdin; plain, gzip or
zstd. What a line is, is told by the line: events and lists of audit.k8s.io, also of
OpenShift; EKS out of CloudWatch; GKE out of Cloud Audit Logs; AKS out of diagnostic
settings or Log Analytics; and what Gatehouse exports.

Events are redacted before they are kept, and are kept once: an import that was broken
off is simply run again. What cannot be read is counted, and its place, hash and audit ID
are kept in the store's folder aside; the line itself is not, since it may hold a secret.
Then the exit code is 3, and everything else has been imported.

Into a bucket events go by way of a temporary folder, when all have been read; what could
not be is then kept in the folder ` + asideOfBucket + `.
` + exitCodesHelp,
		Example: `  gatehouse audit import /var/log/kubernetes/audit/ --store ./audit
  aws logs filter-log-events --log-group-name /aws/eks/prod/cluster --log-stream-name-prefix kube-apiserver-audit | gatehouse audit import - --store ./audit --cluster prod
  gcloud logging read 'protoPayload.serviceName="k8s.io"' --format=json | gatehouse audit import - --store ./audit`,
		Args: func(_ *cobra.Command, args []string) error {
			stdin := 0
			for _, arg := range args {
				if arg == "-" {
					stdin++
				}
			}
			switch {
			case len(args) == 0:
				return &hintError{problem: "what is to be imported?", hint: "gatehouse audit import FILE --store DIR"}
			case o.store == "":
				return &hintError{problem: "into which store?", hint: "gatehouse audit import FILE --store DIR"}
			case strings.Contains(o.store, "://") && !drivers.IsURL(o.store):
				return &hintError{problem: "--store is a URL of no kind that is known", hint: "a folder, or s3://, gs://, azblob:// or file://"}
			case stdin > 1:
				return errors.New("stdin can be read once")
			case !slices.Contains(format.Names, o.format):
				return &hintError{problem: fmt.Sprintf("format %q is not known", o.format), hint: "known: " + strings.Join(format.Names, ", ")}
			}
			return checkOutput(o.output, "table", "json")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			i := &auditImport{in: cmd.InOrStdin(), format: o.format, cluster: o.cluster}
			into := i.run
			if drivers.IsURL(o.store) {
				into = i.intoBucket
			}
			err := into(cmd.Context(), args, o.store, cmd.ErrOrStderr())
			if i.store != nil {
				i.summary.Gone = err != nil
				if printed := i.summary.print(cmd.OutOrStdout(), o.output); err == nil {
					err = printed
				}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.store, "store", "", "the store: its folder, which is made where there is none, or the URL of a bucket: s3://, gs://, azblob:// or file://")
	f.StringVar(&o.format, "format", format.Auto, "the only format that is read: "+strings.Join(format.Names, ", "))
	f.StringVar(&o.cluster, "cluster", "", "name of the cluster, which becomes the annotation "+clusterAnnotation+" of each event, and of a bucket the partition (default there: "+defaultCluster+")")
	f.StringVarP(&o.output, "output", "o", "table", "table or json")
	return cmd
}

// importSummary is what an import says of itself.
type importSummary struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Files      int    `json:"files"`
	// Events that were read; New of them were not in the store before.
	Events     int64           `json:"events"`
	New        int64           `json:"new"`
	Duplicates int64           `json:"duplicates"`
	Foreign    int64           `json:"foreignLines"`
	Problems   []importProblem `json:"problems"`
	// Aside is the file with all problems.
	Aside string `json:"aside,omitempty"`
	// Gone says that the import was broken off.
	Gone bool `json:"brokenOff,omitempty"`
}

// importProblem is all problems of one reason.
type importProblem struct {
	Reason string   `json:"reason"`
	Count  int64    `json:"count"`
	Places []string `json:"places"` // of the first
}

func (s *importSummary) unread() (n int64) {
	for _, p := range s.Problems {
		n += p.Count
	}
	return n
}

func (s *importSummary) problem(reason, place string) {
	at := slices.IndexFunc(s.Problems, func(p importProblem) bool { return p.Reason == reason })
	if at < 0 {
		s.Problems = append(s.Problems, importProblem{Reason: reason})
		at = len(s.Problems) - 1
	}
	p := &s.Problems[at]
	if p.Count++; len(p.Places) < mostUnread {
		p.Places = append(p.Places, place)
	}
}

func (s *importSummary) print(w io.Writer, output string) error {
	if output == "json" {
		return printObject(w, "json", s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "files\t%d\nevents\t%d\tnew %d, there already %d\n", s.Files, s.Events, s.New, s.Duplicates)
	if s.Foreign > 0 {
		fmt.Fprintf(t, "other lines\t%d\tof other logs in the same export\n", s.Foreign)
	}
	for _, p := range s.Problems {
		places := strings.Join(p.Places, ", ")
		if more := p.Count - int64(len(p.Places)); more > 0 {
			places += fmt.Sprintf(" and %d more", more)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\n", p.Reason, p.Count, printable(places))
	}
	if s.Aside != "" {
		fmt.Fprintf(t, "aside\t\t%s\n", printable(s.Aside))
	}
	return coded(exitInternal, t.Flush())
}

// auditImport is one import.
type auditImport struct {
	in              io.Reader
	format, cluster string

	store    *store.Store
	bucket   *blob.Bucket // nil for a folder
	keys     string       // folder of the redaction key; that of the store where it is empty
	redactor *redact.Series
	aside    asideFile
	summary  importSummary

	batch *store.Batch
	names map[unsafe.Pointer]named // annotations with the cluster, by what they were

	// For the bar.
	read, total, events atomic.Int64
}

func (i *auditImport) run(ctx context.Context, paths []string, dir string, stderr io.Writer) (err error) {
	i.summary = importSummary{APIVersion: "gatehouse.io/v1alpha1", Kind: "AuditImport", Problems: []importProblem{}}
	var files []string
	for _, path := range paths {
		found, err := filesOf(path)
		if err != nil {
			return coded(exitUnreadable, fmt.Errorf("read audit log: %w", err))
		}
		files = append(files, found...)
	}
	keys := dir
	if i.keys != "" {
		keys = i.keys
	}
	key, err := redact.ReadOrMakeKey(keys, rand.Reader)
	if err != nil {
		return coded(exitInternal, err)
	}
	// An import makes much garbage and keeps little: a collector that waits for twice
	// what is kept would take several times the memory.
	debug.SetMemoryLimit(importMemory)
	i.redactor = redact.New(redact.Options{Key: key}).Series()
	// What is read can be read again: an event counts when it is sealed, and a process that
	// is killed leaves an import that is to be run once more.
	i.store, err = store.Open(dir, store.Options{SyncEvery: store.DefaultSyncEvery, Unlogged: true, Publish: i.bucket != nil})
	if _, inUse := errors.AsType[*store.InUseError](err); inUse {
		return coded(exitUnreadable, &hintError{problem: err.Error(), hint: "import into a folder of its own, or stop what has it open"})
	} else if err != nil {
		return coded(exitInternal, err)
	}
	defer func() {
		if closed := errors.Join(i.store.Close(), i.aside.close()); err == nil {
			err = coded(exitInternal, closed)
		}
		i.summary.Aside = i.aside.name
	}()
	if i.aside.dir == "" {
		i.aside.dir = filepath.Join(dir, "aside")
	}
	i.batch = i.store.Batch()
	before := i.store.Stats().Events
	i.measure(files)
	done := progressBar(stderr, &i.read, &i.total, &i.events)
	err = i.all(ctx, files)
	if sealed := i.store.Seal(context.WithoutCancel(ctx)); err == nil && sealed != nil {
		err = coded(exitInternal, sealed)
	}
	if err == nil && i.bucket != nil {
		err = i.publish(ctx)
	}
	done()
	i.summary.New = max(i.store.Stats().Events-before, 0)
	i.summary.Duplicates = max(i.summary.Events-i.summary.New, 0)
	switch n := i.summary.unread(); {
	case err != nil:
		return err
	case n > 0:
		i.summary.Aside = i.aside.name
		return coded(exitUnreadable, &hintError{problem: fmt.Sprintf("%d lines could not be read; everything else has been imported", n), hint: "their places are in " + i.aside.name})
	}
	return nil
}

const (
	// defaultCluster names the cluster of events in a bucket.
	defaultCluster = "default"
	// asideOfBucket is where problems are kept of an import into one.
	asideOfBucket = "gatehouse-aside"
)

// intoBucket imports into a store of this import alone, and copies that to a bucket. Two
// imports of the same events are two replicas there, whose events readers merge.
func (i *auditImport) intoBucket(ctx context.Context, paths []string, url string, stderr io.Writer) error {
	b, err := drivers.Open(ctx, url)
	if err != nil {
		return coded(exitInternal, err)
	}
	defer b.Close()
	dir, err := os.MkdirTemp("", "gatehouse-import-")
	if err != nil {
		return coded(exitInternal, fmt.Errorf("make temporary store: %w", err))
	}
	defer os.RemoveAll(dir)
	// What is equal in two imports must have an equal hash: the key stays with the user.
	data, err := v1alpha1.DefaultDataDir(os.Getenv)
	if err != nil {
		return coded(exitInternal, err)
	}
	i.bucket, i.aside.dir, i.keys = b, asideOfBucket, filepath.Join(data, "import")
	return i.run(ctx, paths, dir, stderr)
}

func (i *auditImport) publish(ctx context.Context) error {
	cluster := i.cluster
	if cluster == "" {
		cluster = defaultCluster
	}
	p, err := bucket.NewPublisher(i.bucket, i.store, bucket.PublisherOptions{Cluster: cluster, Replica: "import-" + strings.ToLower(rand.Text()), Key: i.store.Key()})
	if err == nil {
		err = p.Once(ctx)
	}
	return coded(exitInternal, err)
}

// measure finds how much is to be read.
func (i *auditImport) measure(files []string) {
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			i.total.Store(0) // nobody knows
			return
		}
		i.total.Add(info.Size())
	}
}

func (i *auditImport) all(ctx context.Context, files []string) error {
	for _, name := range files {
		in, shown := i.in, "<stdin>"
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				if err := i.problem(&format.Problem{File: name, Line: 1, Reason: format.Damaged, Detail: "it cannot be opened"}); err != nil {
					return err
				}
				continue
			}
			in, shown = f, name
		}
		err := i.file(ctx, in, shown)
		if f, ok := in.(*os.File); ok && name != "-" {
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return err
		}
		i.summary.Files++
	}
	return i.flush(ctx)
}

// importMemory is where the garbage collector works harder, in bytes.
const importMemory = 152 << 20

// counted counts what is read, for the bar.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// file imports one. What cannot be read of it is a gap of the store, between the events
// beside it; where there are none, nobody knows when it was.
func (i *auditImport) file(ctx context.Context, in io.Reader, name string) error {
	var last time.Time
	var missing int64
	gap := func(next time.Time) {
		if missing > 0 && !next.IsZero() {
			if last.IsZero() || next.Before(last) {
				last = next
			}
			i.store.AddGap(audit.Gap{Start: last, End: next, Count: missing, Reason: audit.GapUnreadable})
		}
		missing, last = 0, next
	}
	defer func() { gap(last) }()
	for e, problem := range format.Read(counted{in, &i.read}, name, format.Options{Format: i.format, Reuse: true}) {
		if err := ctx.Err(); err != nil {
			return coded(exitInternal, errors.Join(i.flush(context.WithoutCancel(ctx)), errors.New("the import was broken off; run it again to go on")))
		}
		if problem != nil {
			if problem.Reason != format.Foreign {
				missing++
			}
			if err := i.problem(problem); err != nil {
				return err
			}
			continue
		}
		gap(e.Time)
		i.redactor.Event(e)
		i.ofCluster(e)
		if err := i.add(e); err != nil {
			return err
		}
		i.events.Add(1)
		if i.batch.Bytes() >= importBytes {
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// named are annotations, and the same with the cluster's.
type named struct{ was, is map[string]string }

// ofCluster says of which cluster an event is. Events share annotations, and go on to.
func (i *auditImport) ofCluster(e *audit.Event) {
	if i.cluster == "" {
		return
	}
	key := reflect.ValueOf(e.Annotations).UnsafePointer()
	known, ok := i.names[key]
	if !ok {
		m := maps.Clone(e.Annotations)
		if m == nil {
			m = map[string]string{}
		}
		m[clusterAnnotation] = i.cluster
		const most = 4096
		if i.names == nil || len(i.names) >= most {
			i.names = map[unsafe.Pointer]named{}
		}
		known = named{e.Annotations, m}
		i.names[key] = known
	}
	e.Annotations = known.is
}

// add hands an event to the batch. Where it is too large, its bodies go.
func (i *auditImport) add(e *audit.Event) error {
	err := i.batch.Add(e)
	if errors.Is(err, store.ErrTooLarge) {
		e.Request, e.Response, e.Truncated = nil, nil, true
		e.Unknown = append(slices.Clone(e.Unknown), audit.UnknownBody)
		err = i.batch.Add(e)
	}
	return coded(exitInternal, err)
}

// flush hands what was read to the store.
func (i *auditImport) flush(ctx context.Context) error {
	events := int64(i.batch.Len())
	err := i.batch.Append(ctx)
	if err == nil {
		i.summary.Events += events
	}
	return coded(exitInternal, err)
}

func (i *auditImport) problem(p *format.Problem) error {
	if p.Reason == format.Foreign {
		i.summary.Foreign++
		return nil
	}
	i.summary.problem(p.Reason, fmt.Sprintf("%s:%d", p.File, p.Line))
	return coded(exitInternal, i.aside.add(p.Aside()))
}

// asideFile keeps the problems of an import, for its owner alone, up to a bound.
type asideFile struct {
	dir, name string
	f         *os.File
	size      int
}

func (a *asideFile) add(p format.Aside) error {
	if a.f == nil {
		if err := os.MkdirAll(a.dir, 0o700); err != nil {
			return fmt.Errorf("keep aside: %w", err)
		}
		f, err := os.CreateTemp(a.dir, time.Now().UTC().Format("20060102T150405Z")+"-*.jsonl") // mode 0600
		if err != nil {
			return fmt.Errorf("keep aside: %w", err)
		}
		a.f, a.name = f, f.Name()
	}
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if a.size+len(line) > mostAside {
		return nil // they are counted all the same
	}
	a.size += len(line) + 1
	_, err = a.f.Write(append(bytes.TrimSpace(line), '\n'))
	return err
}

func (a *asideFile) close() error {
	if a.f == nil {
		return nil
	}
	return errors.Join(a.f.Sync(), a.f.Close())
}
