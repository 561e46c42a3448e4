package condition

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-io/gatehouse/audit/celevent"
)

// maxValue is how much of one value a message tells, in bytes.
const maxValue = 256

// Message is a sentence with values in it.
type Message struct {
	// texts stand before, between and after the values: one more than there are.
	texts  []string
	values []*Value
}

// Message compiles a template: {{ }} around an expression stands for its value.
func (e *Env) Message(template string) (*Message, error) {
	m := &Message{}
	rest := template
	for {
		before, after, found := strings.Cut(rest, "{{")
		m.texts = append(m.texts, before)
		if !found {
			return m, nil
		}
		end := closing(after)
		if end < 0 {
			return nil, &celevent.SyntaxError{Message: fmt.Sprintf("{{ at byte %d has no }} after it", len(template)-len(after)-2)}
		}
		v, err := value(e.messages, strings.TrimSpace(after[:end]))
		if err != nil {
			return nil, fmt.Errorf("{{%s}}: %w", after[:end], err)
		}
		m.values = append(m.values, v)
		rest = after[end+2:]
	}
}

// closing is where the braces close that are no part of a string in the expression; -1
// for nowhere.
func closing(text string) int {
	quote, depth := byte(0), 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && strings.HasPrefix(text[i:], "}}"):
			return i
		}
	}
	return -1
}

// Fields are the expressions of the message.
func (m *Message) Fields() (all []string) {
	for _, v := range m.values {
		all = append(all, v.String())
	}
	return all
}

// Bodies reports whether a body may be asked for.
func (m *Message) Bodies() bool {
	for _, v := range m.values {
		if v.Mentions().Bodies {
			return true
		}
	}
	return false
}

// Text is the sentence for an event. A value that the event does not have is a question
// mark.
func (m *Message) Text(ctx context.Context, in *Input) string {
	var out strings.Builder
	for i, t := range m.texts {
		out.WriteString(t)
		if i == len(m.values) {
			break
		}
		text, err := m.values[i].Text(ctx, in)
		switch {
		case err != nil || text == "":
			text = "?"
		case len(text) > maxValue:
			cut := maxValue
			for cut > 0 && !utf8.RuneStart(text[cut]) {
				cut--
			}
			text = text[:cut] + "…"
		}
		out.WriteString(text)
	}
	return out.String()
}
