package bucket

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	suffix    = ".parquet"
	own       = "_gatehouse/"
	dayLayout = "2006-01-02"
)

var nameRule = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$`)

// checkName refuses names that are not one part of a path everywhere.
func checkName(what, name string) error {
	if !nameRule.MatchString(name) || strings.Contains(name, "..") {
		return fmt.Errorf("%s %q: lower-case letters, digits, - and . are allowed, 63 at most", what, name)
	}
	return nil
}

func dayOf(t time.Time) string { return t.UTC().Format(dayLayout) }

// midnight is when the day of a time ends.
func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour) }

func clusterFolder(cluster string) string  { return "cluster=" + cluster + "/" }
func dayFolder(cluster, day string) string { return clusterFolder(cluster) + "day=" + day + "/" }

// segmentName is what a segment of a store is called; part is 0 where it is whole.
func segmentName(replica string, sequence uint64, part int) string {
	if part == 0 {
		return fmt.Sprintf("%s-%010d%s", replica, sequence, suffix)
	}
	return fmt.Sprintf("%s-%010d.%d%s", replica, sequence, part, suffix)
}

// isOf reports whether a file is a segment of a replica, and not of one whose name is
// longer.
func isOf(replica, name string) bool {
	rest, ok := strings.CutPrefix(name, replica+"-")
	if !ok || !strings.HasSuffix(rest, suffix) || len(rest) < 10+len(suffix) {
		return false
	}
	rest = strings.TrimSuffix(rest, suffix)
	for i, c := range rest {
		if (c < '0' || c > '9') && (c != '.' || i < 10) {
			return false
		}
	}
	return true
}

// folder is where a replica keeps what is not for engines.
func folder(cluster, replica string) string {
	return own + clusterFolder(cluster) + replica + "/"
}

func stateKey(cluster, replica string) string { return folder(cluster, replica) + "state.json" }
func gapsKey(cluster, replica string) string  { return folder(cluster, replica) + "gaps.json" }
func keyKey(cluster, replica string) string   { return folder(cluster, replica) + "key.pub" }
func linkKey(cluster, replica, name string) string {
	return folder(cluster, replica) + "links/" + name
}
