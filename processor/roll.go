package processor

// roll is the tasks of one assignment that have no end yet, in offset order.
type roll struct {
	tasks []*task // nil: ended
	gone  int     // taken from its front
	size  int
}

func (r *roll) add(t *task) {
	t.place = r.gone + len(r.tasks)
	r.tasks = append(r.tasks, t)
	r.size++
}

func (r *roll) remove(t *task) {
	r.tasks[t.place-r.gone] = nil
	r.size--
	for len(r.tasks) > 0 && r.tasks[0] == nil {
		r.tasks = r.tasks[1:]
		r.gone++
	}
}

// all are those that are left.
func (r *roll) all() []*task {
	left := make([]*task, 0, r.size)
	for _, t := range r.tasks {
		if t != nil {
			left = append(left, t)
		}
	}
	return left
}

// first is the oldest, nil if there is none.
func (r *roll) first() *task {
	if len(r.tasks) == 0 {
		return nil
	}
	return r.tasks[0]
}
