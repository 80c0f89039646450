/* The pool: every job is worked once in a pool thread and done once at home; a full queue says so
 * at once; closing runs what is queued. Also run under TSan. */
#include "net/pool.h"
#include "nt.h"

enum { JOBS = 5000 };
struct job {
    struct pool_job j;
    uint64_t works, dones;
    bool at_home;
};
static struct job jobs[JOBS];
static struct rig rig;
static uint64_t done_n;
static int gate; /* 1: work waits */

static void job_work(struct pool_job *j)
{
    while (__atomic_load_n(&gate, __ATOMIC_SEQ_CST))
        usleep(500);
    CONTAINER_OF(j, struct job, j)->works++;
}

static void job_done(struct pool_job *j, struct reactor *r)
{
    struct job *x = CONTAINER_OF(j, struct job, j);
    x->dones++;
    x->at_home = r == j->home;
    nt_add(&done_n);
}

static void reset(void)
{
    memset(jobs, 0, sizeof jobs);
    for (int i = 0; i < JOBS; i++)
        jobs[i].j = (struct pool_job){.work = job_work, .done = job_done};
    done_n = 0;
    gate = 0;
}

static void every_job_is_worked_and_done_once(void)
{
    reset();
    rig_start(&rig, 2, rig_opts());
    struct pool *p = pool_open(3, JOBS);
    for (int i = 0; i < JOBS; i++)
        T(pool_submit(p, rig.r[i % 2], &jobs[i].j) == RC_OK);
    NT_UNTIL(nt_get(&done_n) == JOBS);
    pool_close(p);
    rig_stop(&rig);
    for (int i = 0; i < JOBS; i++)
        T(jobs[i].works == 1 && jobs[i].dones == 1 && jobs[i].at_home);
}

static void a_full_queue_is_busy_at_once(void)
{
    reset();
    rig_start(&rig, 1, rig_opts());
    struct pool *p = pool_open(1, 4);
    gate = 1;
    int taken = 0;
    for (int i = 0; i < 20; i++)
        taken += pool_submit(p, rig.r[0], &jobs[i].j) == RC_OK;
    /* Nothing has ended yet: who was refused did not wait. */
    T(nt_get(&done_n) == 0);
    T(taken == 4 || taken == 5); /* one may be in work already */
    __atomic_store_n(&gate, 0, __ATOMIC_SEQ_CST);
    NT_UNTIL(nt_get(&done_n) == (uint64_t)taken);
    T(pool_submit(p, rig.r[0], &jobs[30].j) == RC_OK);
    NT_UNTIL(nt_get(&done_n) == (uint64_t)taken + 1);
    pool_close(p);
    rig_stop(&rig);
}

static void closing_runs_what_is_queued(void)
{
    reset();
    rig_start(&rig, 1, rig_opts());
    struct pool *p = pool_open(2, JOBS);
    for (int i = 0; i < 100; i++)
        T(pool_submit(p, rig.r[0], &jobs[i].j) == RC_OK);
    pool_close(p);
    for (int i = 0; i < 100; i++)
        T(jobs[i].works == 1);
    rig_join(&rig);
    rig_stop(&rig); /* runs the rest of the answers */
    T(done_n == 100);
}

static void a_stopped_pool_takes_no_more(void)
{
    struct pool *p = pool_open(2, 4);
    struct reactor *r;
    struct err e;
    struct pool_job j = {0};

    T(reactor_open(0, &r, &e) == RC_OK);
    pool_stop(p);
    pool_stop(p);
    T(pool_submit(p, r, &j) == RC_BUSY);
    pool_close(p);
    reactor_close(r);
}

int main(void)
{
    log_init(LOG_SILENT, false);
    T_RUN(every_job_is_worked_and_done_once);
    T_RUN(a_full_queue_is_busy_at_once);
    T_RUN(closing_runs_what_is_queued);
    T_RUN(a_stopped_pool_takes_no_more);
    return t_done();
}
