package processor

import "slices"

// laneKey names a lane: the requests of one record key of one partition, in
// one epoch.
type laneKey struct {
	assignment
	key string
}

// lane is the requests of one key in offset order. Only the first may be
// called, and it leaves when it has its end: so first attempts of a lane start
// in order, one at a time.
type lane struct {
	key         laneKey
	tasks       []*task
	parkedInRow int // its newest ends that were parkings
}

// lanes are all lanes that hold a task. The scheduler goroutine owns them.
type lanes map[laneKey]*lane

// join puts a task at the end of its lane and reports whether it is first. A
// record without key is a lane by itself, and so is a parked one: it left its
// lane when it was parked, and is called when its time comes.
func (ls lanes) join(t *task, retryTopic string) (first bool) {
	if t.record.Key == nil || t.topic == retryTopic {
		t.lane = nil
		return true
	}
	key := laneKey{t.assignment, string(t.record.Key)}
	l, ok := ls[key]
	if !ok {
		l = &lane{key: key}
		ls[key] = l
	}
	t.lane = l
	l.tasks = append(l.tasks, t)
	return len(l.tasks) == 1
}

// leave takes out the first task of a lane and returns the one that is first
// now, if any.
func (ls lanes) leave(t *task) (next *task) {
	l := t.lane
	if l == nil {
		return nil
	}
	if l.tasks[0] != t {
		panic("lanes: " + t.source + " is not the first of its lane")
	}
	l.tasks[0] = nil
	l.tasks = l.tasks[1:]
	if len(l.tasks) == 0 {
		delete(ls, l.key)
		return nil
	}
	return l.tasks[0]
}

// remove takes out a task that is not the first of its lane.
func (l *lane) remove(t *task) {
	l.tasks = slices.DeleteFunc(l.tasks, func(other *task) bool { return other == t })
}

// takeBehind takes out the tasks behind the first that are so, told how many
// there are from each to the end.
func (l *lane) takeBehind(so func(t *task, left int) bool) []*task {
	var taken []*task
	stay := l.tasks[:1]
	for i, t := range l.tasks[1:] {
		if so(t, len(l.tasks)-1-i) {
			taken = append(taken, t)
		} else {
			stay = append(stay, t)
		}
	}
	clear(l.tasks[len(stay):])
	l.tasks = stay
	return taken
}

// drop forgets all lanes of an assignment.
func (ls lanes) drop(a assignment) {
	for key := range ls {
		if key.assignment == a {
			delete(ls, key)
		}
	}
}
