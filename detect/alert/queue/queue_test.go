package queue

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

func open(t *testing.T, path string, most int) *Queue {
	t.Helper()
	q, err := Open(path, Options{Most: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func item(level int, key, text string) Item {
	body, _ := json.Marshal(text)
	return Item{Level: level, Key: key, Body: body}
}

func add(t *testing.T, q *Queue, items ...Item) {
	t.Helper()
	if err := q.Add(items...); err != nil {
		t.Fatal(err)
	}
}

// texts are those of what is handed out next.
func texts(t *testing.T, q *Queue, most int) (got []string, items []Item) {
	t.Helper()
	items, err := q.Next(most)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		var text string
		if err := json.Unmarshal(it.Body, &text); err != nil {
			t.Fatal(err)
		}
		got = append(got, text)
	}
	return got, items
}

func want(t *testing.T, got []string, texts ...string) {
	t.Helper()
	if !slices.Equal(got, texts) {
		t.Errorf("got %q, want %q", got, texts)
	}
}

func TestQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	q := open(t, path, 4)
	add(t, q, item(1, "", "a"), item(4, "", "b"), item(1, "", "c"), item(2, "", "d"))
	got, _ := texts(t, q, 2)
	want(t, got, "b", "d")
	q.Close()

	q = open(t, path, 4) // what was handed out and not done is there
	got, items := texts(t, q, 10)
	want(t, got, "b", "d", "a", "c")
	if err := q.Done(items[0]); err != nil {
		t.Fatal(err)
	}
	q.Back(items...)
	add(t, q, item(3, "", "e"), item(0, "", "f"), item(1, "", "g"))
	got, _ = texts(t, q, 10)
	want(t, got, "e", "d", "c", "g")
	if q.Dropped() != 2 || q.Len() != 4 {
		t.Errorf("dropped %d of %d", q.Dropped(), q.Len())
	}
}

func TestLeastSevereGoesFirst(t *testing.T) {
	q := open(t, filepath.Join(t.TempDir(), "q"), 3)
	for i, level := range []int{2, 1, 4, 1, 3, 0, 4} {
		add(t, q, item(level, "", fmt.Sprint(level, ".", i)))
	}
	got, _ := texts(t, q, 10)
	want(t, got, "4.2", "4.6", "3.4")
	// What is handed out is not taken away; the newest goes instead.
	add(t, q, item(0, "", "late"))
	if q.Len() != 3 || q.Dropped() != 5 {
		t.Errorf("%d wait, %d dropped", q.Len(), q.Dropped())
	}
}

func TestTakingAPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	q := open(t, path, 10)
	add(t, q, item(1, "x", "x1"), item(1, "y", "y1"), item(1, "x", "x2"))
	got, items := texts(t, q, 1)
	want(t, got, "x2")
	add(t, q, item(1, "x", "x3"), item(1, "x", "x4")) // x2 is being sent
	q.Back(items...)
	last := item(1, "x", "x over")
	last.Last = true
	add(t, q, last, item(1, "x", "x anew"), item(1, "x", "x anew 2"))
	q.Close()
	q = open(t, path, 10)
	add(t, q, item(1, "x", "x anew 3"), item(1, "y", "y2"))
	got, _ = texts(t, q, 10)
	want(t, got, "x2", "y2", "x4", "x over", "x anew 3")
}

// TestOrderOfAKey holds that what is graver overtakes others, and never what came before
// it of the same.
func TestOrderOfAKey(t *testing.T) {
	q := open(t, filepath.Join(t.TempDir(), "q"), 10)
	over := item(4, "x", "x over")
	over.Last = true
	add(t, q, item(0, "y", "y1"), item(1, "x", "x1"), over, item(4, "x", "x anew"), item(4, "y", "y2"), item(2, "y", "y3"), item(3, "z", "z1"))
	got, items := texts(t, q, 10)
	want(t, got, "y3", "z1", "x1", "x over", "x anew")
	add(t, q, item(4, "x", "x newer"), item(4, "z", "z2")) // while they are sent
	q.Back(items...)
	got, items = texts(t, q, 10)
	want(t, got, "y3", "z1", "z2", "x1", "x over", "x anew", "x newer")
	if err := q.Done(items...); err != nil || q.Len() != 0 || len(q.keys) != 0 {
		t.Errorf("%v: %d wait, %d keys", err, q.Len(), len(q.keys))
	}
	add(t, q, item(1, "x", "x1"))
	got, _ = texts(t, q, 10)
	want(t, got, "x1")
}

// TestQueueIsAList holds a Queue against a list, with anything happening in any order.
func TestQueueIsAList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	random := rand.New(rand.NewPCG(3, 4))
	type one struct {
		text  string
		level int
	}
	var list []one
	dropped, total := int64(0), 0
	q := open(t, path, 20)
	for n := range 2000 {
		switch random.IntN(10) {
		case 0:
			dropped -= q.Dropped()
			q.Close()
			q = open(t, path, 20)
		case 1, 2, 3:
			slices.SortStableFunc(list, func(a, b one) int { return b.level - a.level })
			got, items := texts(t, q, 1+random.IntN(5))
			for i, text := range got {
				if text != list[i].text {
					t.Fatalf("step %d: got %q, want %v", n, got, list)
				}
			}
			if random.IntN(2) == 0 {
				q.Back(items...)
				continue
			}
			if err := q.Done(items...); err != nil {
				t.Fatal(err)
			}
			list = list[len(items):]
		default:
			level, text := random.IntN(levels), fmt.Sprint(n)
			add(t, q, item(level, "", text))
			if list = append(list, one{text, level}); len(list) > 20 {
				least := 0
				for i, o := range list {
					if o.level < list[least].level {
						least = i
					}
				}
				list = slices.Delete(list, least, least+1)
				dropped++
				total++
			}
		}
		if q.Len() != len(list) {
			t.Fatalf("step %d: %d wait, want %d", n, q.Len(), len(list))
		}
	}
	if dropped != q.Dropped() || total < 100 {
		t.Errorf("%d were dropped, want %d; %d in all", q.Dropped(), dropped, total)
	}
}

func TestMoreWakes(t *testing.T) {
	q := open(t, filepath.Join(t.TempDir(), "q"), 20)
	select {
	case <-q.More():
		t.Error("there is nothing")
	default:
	}
	add(t, q, item(0, "", "a"))
	<-q.More()
}

func BenchmarkAdd(b *testing.B) {
	q, err := Open(filepath.Join(b.TempDir(), "q"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	body, _ := json.Marshal(string(make([]byte, 4<<10)))
	for b.Loop() {
		if err := q.Add(Item{Level: 2, Body: body}); err != nil {
			b.Fatal(err)
		}
	}
}
