package processor

import "slices"

// position is what one commit says of one partition.
type position struct {
	watermark   int64
	leaderEpoch int32
	ceiling     int64
	finished    []int64 // ascending, all above the watermark
}

// reached is the first offset of which a position says nothing: what is below was
// there once.
func (pos position) reached() int64 {
	if n := len(pos.finished); n > 0 {
		return pos.finished[n-1] + 1
	}
	return pos.watermark
}

// cutAt is the position in a log that was truncated: what is written there from now
// on is new, and none of what had ended.
func (pos position) cutAt(end int64) position {
	if pos.watermark > end {
		return freshAt(end).position
	}
	pos.finished = slices.DeleteFunc(slices.Clone(pos.finished), func(offset int64) bool { return offset >= end })
	return pos
}

// movedTo is the position after a gap: what is above it stays as it was.
func (pos position) movedTo(watermark int64) position {
	pos.finished = slices.DeleteFunc(slices.Clone(pos.finished), func(offset int64) bool { return offset < watermark })
	return position{watermark: watermark, ceiling: max(pos.ceiling, watermark), leaderEpoch: -1, finished: pos.finished}
}

// freshAt is where a partition begins of which nothing is committed.
func freshAt(offset int64) metadata {
	return metadata{position: position{watermark: offset, ceiling: offset, leaderEpoch: -1}}
}
