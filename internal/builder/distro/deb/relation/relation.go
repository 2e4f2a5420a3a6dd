// Package relation reads the relation fields of Debian control data: Depends,
// Conflicts, Provides and the like.
//
// A field is a list of clauses parted by commas, all of which must hold. A
// clause is one or more alternatives parted by bars, one of which must hold. An
// alternative is
//
//	name[:qualifier] [(operator version)] [[arch …]] [<profile …> …]
//
// as in Debian Policy 7.1 and deb-control(5). Alternatives stay in the order
// in which they were written: it is the packager's preference.
package relation

import (
	"slices"
	"strings"

	"ashlar/internal/builder/distro/deb/version"
)

// Op compares the version of a package with that of a relation.
type Op uint8

// The operators of deb-control(5). The obsolete < and > are read as <= and >=,
// which is what they mean to dpkg.
const (
	Any Op = iota // no version is asked for
	Less
	LessEqual
	Equal
	GreaterEqual
	Greater
)

// String gives the operator as it is written; "" for Any.
func (op Op) String() string {
	names := [...]string{Any: "", Less: "<<", LessEqual: "<=", Equal: "=", GreaterEqual: ">=", Greater: ">>"}
	if int(op) < len(names) {
		return names[op]
	}
	return "?"
}

// Holds reports whether have OP want. No version at all ("") satisfies
// nothing but Any, as with a Provides entry without a version.
func (op Op) Holds(have, want string) bool {
	if op == Any {
		return true
	}
	if have == "" {
		return false
	}
	c := version.Compare(have, want)
	switch op {
	case Less:
		return c < 0
	case LessEqual:
		return c <= 0
	case Equal:
		return c == 0
	case GreaterEqual:
		return c >= 0
	case Greater:
		return c > 0
	}
	return false
}

// Term is an architecture or a build profile, perhaps negated.
type Term struct {
	Not  bool
	Name string
}

func (t Term) String() string {
	if t.Not {
		return "!" + t.Name
	}
	return t.Name
}

// Relation is one alternative.
type Relation struct {
	Name      string
	Qualifier string   // "any", "native", an architecture, or "" when not written
	Op        Op       // Any when no version is written
	Version   string   // as written; "" with Any
	Arches    []Term   // [amd64 !i386]: empty when not restricted
	Profiles  [][]Term // <!nocheck> <cross stage1>: alternatives of conjunctions; empty when not restricted
}

// Clause is a list of alternatives; a parsed one is never empty.
type Clause []Relation

// List is a whole field.
type List []Clause

// String gives the relation in the usual spacing.
func (r Relation) String() string {
	var b strings.Builder
	b.WriteString(r.Name)
	if r.Qualifier != "" {
		b.WriteString(":" + r.Qualifier)
	}
	if r.Op != Any {
		b.WriteString(" (" + r.Op.String() + " " + r.Version + ")")
	}
	if len(r.Arches) > 0 {
		b.WriteString(" [" + joinTerms(r.Arches) + "]")
	}
	for _, terms := range r.Profiles {
		b.WriteString(" <" + joinTerms(terms) + ">")
	}
	return b.String()
}

func (c Clause) String() string { return join(c, " | ") }

func (l List) String() string { return join(l, ", ") }

func join[T interface{ String() string }](items []T, separator string) string {
	words := make([]string, len(items))
	for i, item := range items {
		words[i] = item.String()
	}
	return strings.Join(words, separator)
}

func joinTerms(terms []Term) string { return join(terms, " ") }

// Reduce leaves out the alternatives that do not apply to an architecture with
// a set of build profiles, and the clauses that lose all alternatives.
func (l List) Reduce(arch string, profiles []string) List {
	var out List
	for _, clause := range l {
		var kept Clause
		for _, r := range clause {
			if r.Applies(arch, profiles) {
				kept = append(kept, r)
			}
		}
		if len(kept) > 0 {
			out = append(out, kept)
		}
	}
	return out
}

// Applies reports whether the restrictions of a relation admit an
// architecture with a set of build profiles.
func (r Relation) Applies(arch string, profiles []string) bool {
	return archAdmits(r.Arches, arch) && profilesAdmit(r.Profiles, profiles)
}

// archAdmits: a list is either all plain or all negated; in a mixed one the
// first match decides.
func archAdmits(terms []Term, arch string) bool {
	if len(terms) == 0 {
		return true
	}
	for _, t := range terms {
		if matchArch(t.Name, arch) {
			return !t.Not
		}
	}
	return terms[0].Not
}

// matchArch knows the wildcards of Linux architectures: "any", "linux-any" and
// "any-CPU". No other kernel is built for.
func matchArch(pattern, arch string) bool {
	return pattern == arch || pattern == "any" || pattern == "linux-any" || pattern == "any-"+arch
}

func profilesAdmit(alternatives [][]Term, profiles []string) bool {
	if len(alternatives) == 0 {
		return true
	}
	return slices.ContainsFunc(alternatives, func(terms []Term) bool {
		return !slices.ContainsFunc(terms, func(t Term) bool {
			return slices.Contains(profiles, t.Name) == t.Not
		})
	})
}
