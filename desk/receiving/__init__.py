"""Receives the answers of each organisation, and writes what arrived as rows of its cases.

Read in this order: `supervisor` starts a thread for each organisation, `receiver_thread` connects to the broker and
runs the requester's receiving service, `answer_rows` writes what the service reports, `reconcile` finds at each start
what a crash left unwritten.
"""
