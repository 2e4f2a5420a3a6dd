package sandbox

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchNew measures New and Close over the Debian root.
func benchNew(b *testing.B, cold bool) {
	lower, poolDir := debianTree(b)
	dir := testDir(b)
	if cold {
		poolDir = filepath.Join(dir, "pool")
	}
	var size int64
	for _, p := range lower.Paths() {
		size += lower.Get(p).Size
	}
	start := cpu(b)
	defer func() {
		b.ReportMetric(float64(size)/1e6, "MB")
		b.ReportMetric(float64(lower.Len()), "entries")
		b.ReportMetric(float64((cpu(b)-start).Milliseconds())/float64(b.N), "cpu-ms/op")
	}()
	for b.Loop() {
		if cold {
			b.StopTimer()
			if err := os.RemoveAll(poolDir); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		s, err := New(b.Context(), Options{Dir: filepath.Join(dir, "work"), Pool: poolDir, Lower: lower})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// cpu is the processor time of this process and those it waited for, which
// tells more than the clock on a busy machine.
func cpu(b *testing.B) time.Duration {
	var total time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}

func BenchmarkNewColdPool(b *testing.B) { benchNew(b, true) }
func BenchmarkNewWarmPool(b *testing.B) { benchNew(b, false) }

func benchRun(b *testing.B, args ...string) {
	s := newBox(b, nil)
	for b.Loop() {
		if err := s.Run(b.Context(), Command{Args: args}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRunTrue(b *testing.B) { benchRun(b, "/bin/true") }

// BenchmarkStat is 10,000 stat calls; Owned is of a file with an owner recorded.
func BenchmarkStat(b *testing.B) { benchRun(b, "perl", "-e", `for (1..10000) { stat "/etc/passwd" }`) }
func BenchmarkStatOwned(b *testing.B) {
	benchRun(b, "perl", "-e", `for (1..10000) { stat "/etc/shadow" }`)
}

func BenchmarkResult(b *testing.B) {
	s := newBox(b, nil)
	s.sh("cp -a /usr/share/perl* /srv; ldconfig")
	for b.Loop() {
		if _, err := s.Result(s.store.put); err != nil {
			b.Fatal(err)
		}
	}
}
