package tokenfile

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	upstream "k8s.io/apiserver/pkg/authentication/token/tokenfile"
)

// FuzzParseEqualsUpstream holds that a file means the same here as to upstream.
func FuzzParseEqualsUpstream(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "a,b,c", "a,b,c\n", "a,b,c,\"g1,g2\"\n", "a,b\n", ",b,c\n", "a,b,c\na,d,e\n", "\"a\"\"q\",b,c",
		"\"a", "a\"b,c,d", "a,b,c,,x,y\r\n", "\ufeffa,b,c\n", "# no comment\n", "a , b ,c", "\"a\nb\",c,d\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		path := filepath.Join(t.TempDir(), "tokens.csv")
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		theirs, theirErr := upstream.NewCSV(path)
		ours, err := parse(path, []byte(data))
		if (err == nil) != (theirErr == nil) {
			t.Fatalf("upstream: %v; ours: %v", theirErr, err)
		}
		if err != nil {
			return
		}
		reader := csv.NewReader(strings.NewReader(data))
		reader.FieldsPerRecord = -1
		records, err := reader.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records {
			want, ok, _ := theirs.AuthenticateToken(context.Background(), record[0])
			sum := sha256.Sum256([]byte(record[0]))
			got, found := ours.users[string(sum[:])]
			if ok != found || ok && !reflect.DeepEqual(want.User, got) {
				t.Fatalf("a user differs: upstream %v %+v, ours %v %+v", ok, want, found, got)
			}
		}
	})
}
