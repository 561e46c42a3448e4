package chain_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"crypto/sha256"

	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

var now = time.Date(2026, 3, 2, 12, 0, 0, 123456000, time.UTC)

type seeded struct{ *rand.PCG }

func (s seeded) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.Uint64())
	}
	return len(b), nil
}

func newKey(t testing.TB, seed uint64) *chain.Key {
	t.Helper()
	k, err := chain.NewKey(seeded{rand.NewPCG(seed, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// folder is a chain in the making.
type folder struct {
	t     *testing.T
	key   *chain.Key
	files fstest.MapFS
	head  chain.Head
	links []*chain.Link
}

func newFolder(t *testing.T, n int) *folder {
	f := &folder{t: t, key: newKey(t, 1), files: fstest.MapFS{}}
	for range n {
		f.seal()
	}
	return f
}

func (f *folder) info(content string) segment.Info {
	return segment.Info{Rows: int64(len(content)), Bytes: int64(len(content)), First: now, Last: now, SHA256: sha256.Sum256([]byte(content))}
}

func (f *folder) put(name, content string) { f.files[name] = &fstest.MapFile{Data: []byte(content)} }

func (f *folder) write(l *chain.Link, content string) {
	f.put(l.Segment, content)
	f.put(l.Segment+chain.LinkSuffix, string(l.Marshal()))
}

func (f *folder) writeHead(h chain.Head) {
	f.head = h
	f.put(chain.HeadName, string(h.Marshal()))
}

func (f *folder) seal() {
	n := f.head.Sequence + 1
	name, content := fmt.Sprintf("%04d.parquet", n), fmt.Sprintf("content of %d", n)
	l, err := f.key.Seal(f.head, name, f.info(content))
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(l, content)
	f.links = append(f.links, l)
	f.writeHead(f.key.Advance(f.head, l, now))
}

// compact replaces the links from i to j; remove says whether the old files go.
func (f *folder) compact(i, j int, remove bool) {
	content := ""
	for _, l := range f.links[i:j] {
		content += string(f.files[l.Segment].Data)
	}
	l, err := f.key.Replace(f.links[i:j], fmt.Sprintf("%04d-%04d.parquet", f.links[i].FirstSequence, f.links[j-1].Sequence), f.info(content))
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(l, content)
	if j == len(f.links) {
		f.writeHead(f.key.Advance(f.head, l, now))
	}
	if remove {
		for _, old := range f.links[i:j] {
			f.remove(old)
		}
	}
	f.links = append(append(append([]*chain.Link{}, f.links[:i]...), l), f.links[j:]...)
}

func (f *folder) remove(l *chain.Link) {
	delete(f.files, l.Segment)
	delete(f.files, l.Segment+chain.LinkSuffix)
}

// retain keeps the links from i on.
func (f *folder) retain(i int) {
	var oldest *chain.Link
	if i < len(f.links) {
		oldest = f.links[i]
	}
	f.writeHead(f.key.Retain(f.head, oldest, now))
	for _, l := range f.links[:i] {
		f.remove(l)
	}
	f.links = f.links[i:]
}

func (f *folder) verify(o chain.VerifyOptions) chain.Report {
	f.t.Helper()
	if o.Key == nil {
		o.Key = &f.key.Public
	}
	report, err := chain.Verify(context.Background(), chain.Dir{FS: f.files}, o)
	if err != nil {
		f.t.Fatal(err)
	}
	return report
}

func (f *folder) holds(segments int) {
	f.t.Helper()
	if r := f.verify(chain.VerifyOptions{}); r.Fault != nil || r.Segments != segments {
		f.t.Errorf("%d segments, fault %v; want %d and none", r.Segments, r.Fault, segments)
	}
}

func TestWhatIsRightHolds(t *testing.T) {
	newFolder(t, 0).holds(0)
	newFolder(t, 1).holds(1)
	f := newFolder(t, 9)
	f.holds(9)
	f.compact(2, 5, true)
	f.holds(7)
	f.compact(1, 4, true) // one that was compacted is compacted again
	f.holds(5)
	f.retain(1)
	f.holds(4)
	f.compact(2, 4, true) // the newest
	f.holds(3)
	f.seal()
	f.holds(4)
	f.compact(0, 4, true) // all
	f.holds(1)
	f.retain(1) // nothing is kept
	f.holds(0)
	f.seal()
	f.holds(1)
	if f.head.Sequence != 11 {
		t.Errorf("the chain is at %d", f.head.Sequence)
	}
}

// A crash leaves one of these states, and none is a fault.
func TestCrashesAreNoFaults(t *testing.T) {
	f := newFolder(t, 4)
	old := f.head
	f.seal()
	f.writeHead(old)
	if r := f.verify(chain.VerifyOptions{}); r.Fault != nil || r.Ahead != 1 {
		t.Errorf("the head is behind: %v, %d ahead", r.Fault, r.Ahead)
	}

	f = newFolder(t, 6)
	f.compact(1, 3, false)
	if r := f.verify(chain.VerifyOptions{}); r.Fault != nil || r.Replaced != 2 || r.Segments != 5 {
		t.Errorf("what was replaced is there: %v, %+v", r.Fault, r)
	}

	f = newFolder(t, 6)
	old = f.head
	f.compact(4, 6, true)
	f.writeHead(old)
	if r := f.verify(chain.VerifyOptions{}); r.Fault != nil {
		t.Errorf("the head is of a link that was replaced: %v", r.Fault)
	}

	f = newFolder(t, 6)
	kept := maps.Clone(f.files)
	f.retain(3)
	head := f.files[chain.HeadName]
	f.files = kept
	f.files[chain.HeadName] = head
	if r := f.verify(chain.VerifyOptions{}); r.Fault != nil || r.Segments != 3 {
		t.Errorf("what retention removes is there: %v, %d", r.Fault, r.Segments)
	}
}

func TestTamperingIsNamed(t *testing.T) {
	const third, fourth = "0003.parquet", "0004.parquet"
	link := func(name string) string { return name + chain.LinkSuffix }
	for name, c := range map[string]struct {
		do   func(f *folder)
		kind string
		on   string // the segment, or part of what is said where it is none
	}{
		"content":           {func(f *folder) { f.put(third, "other") }, chain.Changed, third},
		"a byte more":       {func(f *folder) { f.put(third, "content of 3 ") }, chain.Changed, third},
		"emptied":           {func(f *folder) { f.put(third, "") }, chain.Changed, third},
		"file removed":      {func(f *folder) { delete(f.files, third) }, chain.Removed, third},
		"link removed":      {func(f *folder) { delete(f.files, link(third)) }, chain.Removed, "segment 3 was removed"},
		"both removed":      {func(f *folder) { f.remove(f.links[2]) }, chain.Removed, "segment 3 was removed"},
		"the first removed": {func(f *folder) { f.remove(f.links[0]) }, chain.Removed, "segment 1 was removed"},
		"the last removed":  {func(f *folder) { f.remove(f.links[5]) }, chain.Removed, "segment 6 was removed"},
		"all removed": {func(f *folder) {
			for _, l := range f.links {
				f.remove(l)
			}
		}, chain.Removed, "segment 1 was removed"},
		"head removed":  {func(f *folder) { delete(f.files, chain.HeadName) }, chain.Removed, "no head"},
		"files swapped": {func(f *folder) { f.files[third], f.files[fourth] = f.files[fourth], f.files[third] }, chain.Reordered, third},
		"links swapped": {func(f *folder) {
			f.files[link(third)], f.files[link(fourth)] = f.files[link(fourth)], f.files[link(third)]
		}, chain.Reordered, third},
		"copy of another": {func(f *folder) { f.files[third] = f.files[fourth] }, chain.Reordered, third},
		"file added":      {func(f *folder) { f.put("0007.parquet", "x") }, chain.Added, "0007.parquet"},
		"link is no JSON": {func(f *folder) { f.put(link(third), "x") }, chain.Changed, third},
		"link has a field": {func(f *folder) {
			f.put(link(third), strings.Replace(string(f.files[link(third)].Data), "{", `{"note":1,`, 1))
		}, chain.Changed, third},
		"link of the rows": {func(f *folder) {
			f.put(link(third), strings.Replace(string(f.files[link(third)].Data), `"rows": 12`, `"rows": 13`, 1))
		}, chain.Changed, third},
		"link and content": {func(f *folder) {
			l := *f.links[2]
			l.SHA256 = sha256.Sum256([]byte("other"))
			f.write(&l, "other")
		}, chain.Changed, third},
		"sealed with another key": {func(f *folder) {
			l, _ := newKey(f.t, 2).Seal(chain.Head{Sequence: 2, Link: f.links[1].Digest()}, third, f.info("other"))
			f.write(l, "other")
		}, chain.Changed, third},
		"sealed anew by one who has the key": {func(f *folder) {
			l, _ := f.key.Seal(chain.Head{Sequence: 2, Link: f.links[1].Digest()}, third, f.info("other"))
			f.write(l, "other")
		}, chain.Changed, third},
		"content, and a later link": {func(f *folder) { f.put(third, "other"); f.put(link("0005.parquet"), "x") }, chain.Changed, third},
		"a link, and later content": {func(f *folder) { f.put("0005.parquet", "other"); f.put(link(third), "x") }, chain.Changed, third},
		"head of another key":       {func(f *folder) { f.writeHead(newKey(f.t, 2).Advance(f.head, f.links[5], now)) }, chain.Changed, "the head"},
		"head is no JSON":           {func(f *folder) { f.put(chain.HeadName, "x") }, chain.Changed, "the head"},
		"head moved on": {func(f *folder) {
			f.put(chain.HeadName, strings.Replace(string(f.head.Marshal()), `"start": 1`, `"start": 2`, 1))
		}, chain.Changed, "the head"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t, 6)
			c.do(f)
			r := f.verify(chain.VerifyOptions{})
			if r.Fault == nil || r.Fault.Kind != c.kind || r.Fault.Segment != c.on && !strings.Contains(r.Fault.String(), c.on) {
				t.Errorf("found %v", r.Fault)
			}
		})
	}
}

// Who puts back an older head with the segments of its time makes a chain that holds: a
// head that was remembered elsewhere is what finds it.
func TestARememberedHead(t *testing.T) {
	f := newFolder(t, 3)
	old := maps.Clone(f.files)
	f.seal()
	f.seal()
	remembered := f.head
	if r := f.verify(chain.VerifyOptions{ExpectHead: &remembered}); r.Fault != nil {
		t.Errorf("the same head: %v", r.Fault)
	}
	now := f.files
	f.files = old
	f.holds(3)
	if r := f.verify(chain.VerifyOptions{ExpectHead: &remembered}); r.Fault == nil || r.Fault.Kind != chain.Removed || r.Fault.Sequence != 5 {
		t.Errorf("an older chain: %v", r.Fault)
	}
	f.files = fstest.MapFS{}
	if r := f.verify(chain.VerifyOptions{ExpectHead: &remembered}); r.Fault == nil {
		t.Error("no chain at all is what was expected")
	}
	f.files = now
	f.compact(3, 5, true)
	if r := f.verify(chain.VerifyOptions{ExpectHead: &remembered}); r.Fault != nil {
		t.Errorf("its link was compacted since: %v", r.Fault)
	}
	f.seal()
	f.retain(1)
	f.retain(len(f.links))
	if r := f.verify(chain.VerifyOptions{ExpectHead: &remembered}); r.Fault != nil {
		t.Errorf("retention has removed it since: %v", r.Fault)
	}
	forged := remembered
	forged.Sequence = 2
	if r := f.verify(chain.VerifyOptions{ExpectHead: &forged}); r.Fault == nil {
		t.Error("a remembered head that nobody signed is believed")
	}
}

func TestCompactionIsOfNeighbours(t *testing.T) {
	f := newFolder(t, 4)
	if _, err := f.key.Replace([]*chain.Link{f.links[0], f.links[2]}, "x", segment.Info{}); err == nil {
		t.Error("what lies between is lost")
	}
	if _, err := f.key.Replace(f.links[:2], "x", segment.Info{Rows: 1000}); err == nil {
		t.Error("events come from nowhere")
	}
	if _, err := f.key.Replace(nil, "x", segment.Info{}); err == nil {
		t.Error("nothing is replaced")
	}
}

func TestKeyFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys", "audit.key")
	k, err := chain.ReadOrMakeKey(file, seeded{rand.NewPCG(3, 0)})
	if err != nil {
		t.Fatal(err)
	}
	again, err := chain.ReadOrMakeKey(file, seeded{rand.NewPCG(4, 0)})
	if err != nil || again.Public.ID() != k.Public.ID() {
		t.Fatalf("another key: %v", err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v %v", info.Mode(), err)
	}
	public, err := chain.ReadPublicKey(file + chain.PublicSuffix)
	if err != nil || public.ID() != k.Public.ID() || public.PEM() != k.Public.PEM() {
		t.Fatalf("the public key: %v", err)
	}
	for name, bad := range map[string]string{"empty": "", "garbage": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "public": public.PEM()} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := chain.ReadOrMakeKey(file, nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := chain.ReadKey(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("others may read it: %v", err)
	}
}

func FuzzParseLink(f *testing.F) {
	k, err := chain.NewKey(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		f.Fatal(err)
	}
	l, err := k.Seal(chain.Head{}, "a.parquet", segment.Info{First: now, Last: now})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(l.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := chain.ParseLink(data)
		if err != nil {
			return
		}
		if k.Public.HasSigned(got) && !bytes.Equal(got.Marshal(), l.Marshal()) {
			t.Errorf("a link that was not signed holds: %s", data)
		}
	})
}
