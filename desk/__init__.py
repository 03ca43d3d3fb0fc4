"""The requester's desk: footage requests through a web application, for the people of one or more organisations.

An organisation is a requester of Doorward: a police force, a court, an insurer. Its people draw an area, ask, receive,
look, and hand evidence on. A camera's place stays unknown to the desk. Each clip proves offline which doorbell recorded
it, which owner consented, and that it is unchanged.

One service (`doorward-desk serve`) holds the pages and the receiver of answers. By default it keeps everything in one
folder: a SQLite database, and for each organisation the folder of a requester (`agent.clients.requester.identity`).

`people`       organisations, people, roles, sign-in           `asking`      drafts of requests until they are published
`cases`        cases, answers, clips, triage, retention        `receiving`   answers from the broker
`custody`      append-only log of who did what                 `export`      evidence folders, reports, guest links
`tips`         tips and bulletins                              `trust`       a trust root's bundles
`numbers`      public page of numbers                          `api`         interface for case-management systems
`reminders`    what ends soon, on the page and by mail         `reasons`     reasons of the doors' code, translated
`storage`      PostgreSQL and an S3 store for several machines
`neighbourhood`  public bulletins; tips, requests and notices of people without an account, and their moderators

Each app has models, thin views, and modules named for what they do. Views look objects up only within the
organisation of the person (`people.permissions.get_in`), and `people.roles` says which role may do what. The desk is a
separate distribution (`desk/setup.cfg`); a doorbell has none of it.
"""

__version__ = "0.1.0"
