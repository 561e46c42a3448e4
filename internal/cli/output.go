package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/gate"
)

// tableWidth is how wide tables are. Wide ones are as wide as what is in them.
const tableWidth = 80

// checkOutput refuses an output format that is not one of those given.
func checkOutput(format string, formats ...string) error {
	for _, known := range formats {
		if format == known {
			return nil
		}
	}
	return coded(exitUsage, &hintError{problem: fmt.Sprintf("output format %q is not known", format), hint: "known: " + strings.Join(formats, ", ")})
}

// printObject writes an object as JSON or YAML.
func printObject(w io.Writer, format string, object any) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	err := enc.Encode(object)
	data := escapeControls(out.Bytes())
	if err == nil && format == "yaml" {
		data, err = yaml.JSONToYAML(data)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	return coded(exitInternal, err)
}

// escapeControls writes the characters of JSON strings that steer a terminal, and
// which encoding/json leaves as they are, as escapes.
func escapeControls(data []byte) []byte {
	if !bytes.ContainsFunc(data, steers) {
		return data
	}
	var out bytes.Buffer
	for _, r := range string(data) {
		if steers(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes()
}

// steers reports whether gate.Plain would replace a character that JSON lets pass.
func steers(r rune) bool { return r >= 0x7f && r <= 0xffff && gate.Plain(string(r)) != string(r) }

// color reports whether the command's output is a terminal that may be coloured.
func color(cmd *cobra.Command) bool {
	if _, no := os.LookupEnv("NO_COLOR"); no || os.Getenv("TERM") == "dumb" {
		return false
	}
	f, ok := cmd.OutOrStdout().(*os.File)
	return ok && isTerminal(f)
}

// table is rows under a line of names.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

const columnGap = 2

// print writes the table, at most width characters wide: cells that are too long
// go on below themselves. Nothing is left out, since two names that begin alike
// are not the same. A width of 0 is no limit. Columns with nothing in them are not
// shown.
func (t *table) print(w io.Writer, width int) error {
	t.dropEmpty()
	widths, words := make([]int, len(t.head)), make([]int, len(t.head))
	rows := append([][]string{t.head}, t.rows...)
	for i, row := range rows {
		for j, cell := range row {
			if i > 0 {
				row[j] = gate.Plain(cell)
			}
			widths[j] = max(widths[j], utf8.RuneCountInString(row[j]))
			for word := range strings.FieldsSeq(row[j]) {
				words[j] = max(words[j], utf8.RuneCountInString(word))
			}
		}
	}
	if width > 0 {
		room := width - columnGap*(len(widths)-1)
		fit(widths, room, words) // between words, as long as that is enough
		fit(widths, room, nil)
	}
	for _, row := range rows {
		cells := make([][]string, len(row))
		lines := 0
		for j, cell := range row {
			cells[j] = wrap(cell, widths[j])
			lines = max(lines, len(cells[j]))
		}
		for i := range lines {
			var line strings.Builder
			for j := range cells {
				part := ""
				if i < len(cells[j]) {
					part = cells[j][i]
				}
				line.WriteString(part)
				line.WriteString(strings.Repeat(" ", widths[j]-utf8.RuneCountInString(part)+columnGap))
			}
			if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
				return coded(exitInternal, err)
			}
		}
	}
	return nil
}

func (t *table) dropEmpty() {
	for j := len(t.head) - 1; j >= 0; j-- {
		if slices.ContainsFunc(t.rows, func(row []string) bool { return row[j] != "" }) {
			continue
		}
		t.head = slices.Delete(t.head, j, j+1)
		for i := range t.rows {
			t.rows[i] = slices.Delete(t.rows[i], j, j+1)
		}
	}
}

// fit makes the widest columns narrower until all of them have room, but none
// narrower than least says.
func fit(widths []int, room int, least []int) {
	const narrowest = 8
	for sum(widths) > room {
		widest := -1
		for j := range widths {
			if (least == nil || widths[j] > least[j]) && widths[j] > narrowest && (widest < 0 || widths[j] > widths[widest]) {
				widest = j
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func sum(list []int) (total int) {
	for _, n := range list {
		total += n
	}
	return total
}

// wrap breaks a text into lines of a width: between words, or where a word alone is
// too long within it.
func wrap(text string, width int) []string {
	var lines []string
	rest := []rune(text)
	for len(rest) > width {
		at := breakAt(rest, width)
		lines = append(lines, strings.TrimRight(string(rest[:at]), " "))
		rest = []rune(strings.TrimLeft(string(rest[at:]), " "))
	}
	return append(lines, string(rest))
}

func breakAt(text []rune, width int) int {
	for i := width; i > 0; i-- {
		if text[i] == ' ' {
			return i
		}
	}
	for i := width - 1; i > width/4; i-- {
		if strings.ContainsRune(",/:-.", text[i]) {
			return i + 1
		}
	}
	return width
}

// printTrace writes a trace for people; lines that are too long go on below the
// beginning of their last column.
func printTrace(cmd *cobra.Command, trace *gate.Trace, wide bool) error {
	var out bytes.Buffer
	if err := trace.Print(&out, gate.PrintOptions{Color: color(cmd), Wide: wide}); err != nil {
		return coded(exitInternal, err)
	}
	if wide {
		_, err := cmd.OutOrStdout().Write(out.Bytes())
		return coded(exitInternal, err)
	}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimRight(line, " \n")
		indent := lastColumn(line)
		head, last := line[:indent], line[indent:]
		for i, part := range wrap(last, tableWidth-utf8.RuneCountInString(head)) {
			if i > 0 {
				head = strings.Repeat(" ", utf8.RuneCountInString(head))
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), strings.TrimRight(head+part, " ")); err != nil {
				return coded(exitInternal, err)
			}
		}
	}
	return nil
}

// lastColumn is where the last column of a line begins, which the one before it
// is two spaces away from.
func lastColumn(line string) int {
	const most = 50 // what stands further right is text with spaces in it
	at := 0
	for i := 2; i < min(len(line), most); i++ {
		if line[i-1] == ' ' && line[i-2] == ' ' && line[i] != ' ' {
			at = i
		}
	}
	return at
}
