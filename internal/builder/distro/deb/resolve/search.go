package resolve

func (s *solver) search(roots []root) (map[nameID]verID, error) {
	return nil, &Error{Lines: []string{"broken"}}
}
