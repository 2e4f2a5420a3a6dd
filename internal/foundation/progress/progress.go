// Package progress carries what long work says about itself. Rooms report
// events; the user interface decides what to show.
package progress

// Event is one report of a task.
type Event struct {
	Task  string // stable name of the work: "fetch", "unpack", "squashfs"
	Item  string // what is worked on now: a package, a file; may be empty
	Done  int64  // units done so far
	Total int64  // units in all; 0 when not known
	Unit  string // "bytes", "packages", …
	End   bool   // the task is over
}

// Sink takes events. It must be safe for concurrent use and must not block for long.
type Sink interface {
	Report(Event)
}

// Discard is a Sink that shows nothing.
type Discard struct{}

// Report implements Sink.
func (Discard) Report(Event) {}
