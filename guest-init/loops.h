/* Loop devices that a job has left. */
#ifndef GUEST_INIT_LOOPS_H
#define GUEST_INIT_LOOPS_H

/*
 * Has every loop device let go of its file: at once, or where something still has the device open,
 * as soon as nothing has (loop(4), LOOP_CLR_FD).
 */
void loops_detach(void);

#endif
