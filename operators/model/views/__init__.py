"""What people ask for: timelines, milestones, dashboards, families of orders."""
