package pid1

import (
	"os"
	"strings"

	"ashlar/internal/contract/layout"
)

// Param is one word of the kernel's command line.
type Param struct {
	Key, Value string
	HasValue   bool
}

// Cmdline is the kernel's command line in order.
type Cmdline []Param

// ParseCmdline splits as the kernel does: words end at spaces outside double
// quotes; quotes around a value or a whole word go; what follows "--" is for
// init and no parameter.
func ParseCmdline(text string) Cmdline {
	var params Cmdline
	for _, word := range words(text) {
		if word == "--" {
			break
		}
		word = unquote(word)
		key, value, has := strings.Cut(word, "=")
		if key == "" {
			continue
		}
		params = append(params, Param{Key: key, Value: unquote(value), HasValue: has})
	}
	return params
}

func words(text string) []string {
	quoted := false
	return strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n' || r == 0)
	})
}

func unquote(s string) string {
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	return strings.TrimSuffix(s[1:], `"`)
}

// Get gives the last value of a key; later words win, as in the kernel.
func (c Cmdline) Get(key string) (string, bool) {
	for i := len(c) - 1; i >= 0; i-- {
		if c[i].Key == key {
			return c[i].Value, true
		}
	}
	return "", false
}

// Or gives the value of a key, or fallback when it is missing or empty.
func (c Cmdline) Or(key, fallback string) string {
	if value, _ := c.Get(key); value != "" {
		return value
	}
	return fallback
}

// ModuleParams gives what the line says for a kernel module: "name.key=value"
// words as "key=value", in order. Dashes and underscores in the module's name
// are the same.
func (c Cmdline) ModuleParams(module string) string {
	var out []string
	for _, p := range c {
		name, key, ok := strings.Cut(p.Key, ".")
		if !ok || strings.ReplaceAll(name, "-", "_") != module {
			continue
		}
		if p.HasValue {
			key += "=" + p.Value
		}
		out = append(out, key)
	}
	return strings.Join(out, " ")
}

// Quiet reports whether services' output stays off the console.
func (c Cmdline) Quiet() bool { return c.Or(layout.ParamConsole, "") == "quiet" }

func readCmdline() Cmdline {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil
	}
	return ParseCmdline(string(text))
}
