"""The gate: what stands between an authorization and the process that it permits.

It keeps the durable memory of one runtime (heads, epochs, times, uses), asks the kernel for a verdict,
reserves one use, records, starts exactly what was verified, and records the outcome. It stands on the
standard library and the kernel alone, because it runs inside other people's hosts (specs/07).
"""
