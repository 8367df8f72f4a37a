package proof

import "slices"

// maxPlaces is how many breaches of a kind are remembered by where they are, at
// 8 bytes each.
const maxPlaces = 100_000

// places tell which of the breaches that a Report judges anew are new: by
// fingerprints of where they are, which stay the same from look to look. What is
// said of a breach need not.
type places struct {
	known map[Kind][]uint64 // of the look before, in order
	found map[Kind][]uint64 // of this one, the first maxPlaces of each kind
	fresh map[Kind]int64    // how many of this one are not known
}

func newPlaces(known map[Kind][]uint64) places {
	return places{known: known, found: map[Kind][]uint64{}, fresh: map[Kind]int64{}}
}

func (p *places) add(k Kind, place uint64) {
	if _, found := slices.BinarySearch(p.known[k], place); !found {
		p.fresh[k]++
	}
	if len(p.found[k]) < maxPlaces {
		p.found[k] = append(p.found[k], place)
	}
}

// sorted is what is known to the next look.
func (p *places) sorted() map[Kind][]uint64 {
	all := map[Kind][]uint64{}
	for kind, found := range p.found {
		all[kind] = slices.Sorted(slices.Values(found))
	}
	return all
}

// judged notes a breach that a later Report may not have.
func (c *Checker) judged(r *Report, k Kind, place uint64, f Finding) {
	r.Violations[k] = r.Violations[k].with(f)
	c.places.add(k, place)
}

// placeOf is that of an end, if it named one, and of its request id.
func (c *Checker) placeOf(f *fact) uint64 {
	return c.digest.place(int64(f.id), int64(f.topic), int64(f.partition), f.offset, f.number)
}

func (d *digest) place(numbers ...int64) uint64 {
	for _, n := range numbers {
		d.number(n)
	}
	return d.sum()
}
