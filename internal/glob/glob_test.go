package glob

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"db", []string{"db"}, []string{"", "d", "db1", "adb"}},
		{"*", []string{"", "a", "a*b", "\xff"}, nil},
		{"prod-*", []string{"prod-", "prod-eu"}, []string{"prod", "xprod-"}},
		{"*-key", []string{"-key", "a-key", "-key-key"}, []string{"key", "a-keys"}},
		{"a*b*c", []string{"abc", "a1b2c", "abbcc", "abcbc"}, []string{"ab", "acb", "abcd"}},
		{"**", []string{"", "a"}, nil},
		{"*a*", []string{"a", "bab"}, []string{"", "b"}},
	} {
		for _, name := range c.yes {
			if !Match(c.pattern, name) {
				t.Errorf("%q does not match %q", c.pattern, name)
			}
		}
		for _, name := range c.no {
			if Match(c.pattern, name) {
				t.Errorf("%q matches %q", c.pattern, name)
			}
		}
	}
}

func TestHostileGlobIsQuick(t *testing.T) {
	pattern, name := strings.Repeat("a*", 120)+"b", strings.Repeat("a", 1<<16)
	began := time.Now()
	if Match(pattern, name) {
		t.Error("it matches")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b", "ab")
	f.Add("**", "")
	f.Add("*\xff*", "\xff")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 200 || len(name) > 1000 {
			t.Skip()
		}
		// Regular expressions read runes; of other strings all that counts is that
		// they end.
		got := Match(pattern, name)
		if strings.ToValidUTF8(pattern, "") != pattern || strings.ToValidUTF8(name, "") != name {
			return
		}
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		if want := regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`).MatchString(name); got != want {
			t.Errorf("%q, %q: %v, want %v", pattern, name, got, want)
		}
	})
}
