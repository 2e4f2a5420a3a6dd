package relation

import (
	"fmt"
	"strings"
)

// Limits on a field. The largest in Debian are Provides of some 50 KiB with
// about 1,000 clauses.
const (
	maxField     = 1 << 20 // bytes
	maxRelations = 1 << 15 // alternatives of all clauses
	maxTerms     = 256     // architectures or profiles of one relation
)

// Parse reads a relation field. White space, newlines of folded fields
// included, may stand between all words; a trailing comma is let pass.
func Parse(field string) (List, error) {
	if len(field) > maxField {
		return nil, fmt.Errorf("parse relations: %d bytes, more than %d", len(field), maxField)
	}
	p := parser{text: field}
	var list List
	for {
		p.space()
		if p.end() {
			return list, nil
		}
		clause, err := p.clause()
		if err != nil {
			return nil, fmt.Errorf("parse relations at byte %d: %w", p.at, err)
		}
		list = append(list, clause)
		if p.end() {
			return list, nil
		}
		if !p.take(',') {
			return nil, fmt.Errorf("parse relations at byte %d: unexpected %q", p.at, p.text[p.at])
		}
	}
}

// parser is a cursor in a field.
type parser struct {
	text  string
	at    int
	count int
}

func (p *parser) clause() (Clause, error) {
	var clause Clause
	for {
		r, err := p.relation()
		if err != nil {
			return nil, err
		}
		if p.count++; p.count > maxRelations {
			return nil, fmt.Errorf("more than %d relations", maxRelations)
		}
		clause = append(clause, r)
		if !p.take('|') {
			return clause, nil
		}
	}
}

func (p *parser) relation() (Relation, error) {
	var r Relation
	p.space()
	if r.Name = p.word(isName); r.Name == "" {
		return r, fmt.Errorf("no package name")
	}
	if p.take(':') {
		if r.Qualifier = p.word(isName); r.Qualifier == "" {
			return r, fmt.Errorf("nothing after the colon of %q", r.Name)
		}
	}
	p.space()
	if err := p.constraint(&r); err != nil {
		return r, err
	}
	if p.take('[') {
		terms, err := p.terms(']')
		if err != nil {
			return r, err
		}
		r.Arches = terms
		p.space()
	}
	for p.take('<') {
		terms, err := p.terms('>')
		if err != nil {
			return r, err
		}
		r.Profiles = append(r.Profiles, terms)
		if len(r.Profiles) > maxTerms {
			return r, fmt.Errorf("more than %d profile lists", maxTerms)
		}
		p.space()
	}
	return r, nil
}

// constraint reads "(OP VERSION)" if there is one.
func (p *parser) constraint(r *Relation) error {
	if !p.take('(') {
		return nil
	}
	p.space()
	op := p.word(func(c byte) bool { return c == '<' || c == '=' || c == '>' })
	switch op {
	case "<<":
		r.Op = Less
	case "<=", "<":
		r.Op = LessEqual
	case "=":
		r.Op = Equal
	case ">=", ">":
		r.Op = GreaterEqual
	case ">>":
		r.Op = Greater
	default:
		return fmt.Errorf("operator %q of %q is none of << <= = >= >>", op, r.Name)
	}
	p.space()
	if r.Version = p.word(isVersion); r.Version == "" {
		return fmt.Errorf("no version for %q", r.Name)
	}
	p.space()
	if !p.take(')') {
		return fmt.Errorf("version of %q is not closed", r.Name)
	}
	p.space()
	return nil
}

// terms reads words up to the closing byte.
func (p *parser) terms(closing byte) ([]Term, error) {
	var terms []Term
	for {
		p.space()
		if p.take(closing) {
			if len(terms) == 0 {
				return nil, fmt.Errorf("empty restriction list")
			}
			return terms, nil
		}
		t := Term{Not: p.take('!')}
		if t.Name = p.word(isName); t.Name == "" {
			return nil, fmt.Errorf("restriction list without %q", closing)
		}
		if terms = append(terms, t); len(terms) > maxTerms {
			return nil, fmt.Errorf("more than %d restrictions", maxTerms)
		}
	}
}

func (p *parser) end() bool { return p.at == len(p.text) }

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\n\r", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) word(in func(byte) bool) string {
	start := p.at
	for p.at < len(p.text) && in(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isName admits what Policy allows in names of packages, architectures and
// profiles, and the upper case and underscore that foreign archives use.
func isName(c byte) bool { return isAlnum(c) || strings.IndexByte("+-._", c) >= 0 }

func isVersion(c byte) bool { return isAlnum(c) || strings.IndexByte("+-.~:_", c) >= 0 }
