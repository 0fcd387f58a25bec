"""The ground everything stands on: tenants, people, public ids, sealed fields, leased jobs, audit and safe fetching."""
