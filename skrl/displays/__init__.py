"""What people look at: learning curves, values, studies, schedules."""
