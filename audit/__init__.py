"""The judge: takes a finished dataset as an adversary would and decides whether it may be released.

It never imports the generator. Everything works on local paths, bytes and rows; the caller moves data.
A whole audit, as a driver runs it. `gallery_dir` is private: nothing of it may enter the output. Every mapping of
recognizers, thresholds and galleries has `recognizer.name` as its key, which need not be the spec it was loaded by::

    # 1 enrol the originals, shard by shard, in workers (Enroller embeds with the loop's and the judge's recognizers)
    enroller = Enroller(detector, recognizers: Mapping[str, Recognizer], pseudonyms: Pseudonyms)
    stamp = ShardStamp(source_etag, settings_digest)                  # audit.gallery
    if not has_shard(gallery_dir, shard, stamp):
        write_shard(gallery_dir, shard, enroller.enrol(originals: Sequence[Original]), stamp)
    # 2 seal, 3 calibrate, on the driver
    snapshot = seal(gallery_dir)                                      # audit.gallery -> Snapshot
    galleries = {judge.name: open_gallery(gallery_dir, judge.name) for judge in judges}    # audit.gallery -> Gallery
    calibration = calibrated(judge, gallery_dir, snapshot.sha256, settings)    # audit.calibration_store
    # 4 audit the released pictures and 5 search the gallery, in workers; the result holds no embeddings
    auditor = Auditor(recognizers, build_second_detector(settings), thresholds: Mapping[str, float], settings)
    examined = auditor.audit([AuditTask(LedgerPicture, EnrolledPicture, released_bytes, original | None), ...])
    pictures = search_gallery(examined, galleries, thresholds)        # audit.verification -> tuple[AuditedPicture, ...]
    shard = AuditedShard(name, source_etag, output_sha256, reconcile(source_keys, output_keys, quarantined_keys),
                         pictures + tuple(AuditedPicture(ledger_row) for ledger_row in quarantined))
    # 6 evidence: the driver is the only writer; every call is an upsert, so a retry is a no-op
    with Evidence(database_url) as evidence:                          # audit.evidence; migrates to the newest revision
        evidence.begin_run(run: RunInfo)
        evidence.write_gallery(run.run_id, snapshot, gallery_rows(gallery_dir))
        evidence.write_thresholds(run.run_id, [calibration, ...])
        evidence.write_shard(run.run_id, shard)                       # for every shard
        evidence.write_findings(run.run_id, findings)                 # names, raw copies, stray files
        evidence.write_attacks(run.run_id, attacks)                   # audit.attacks
        # 7 gate and 8 report, from SQL alone
        rows = evidence.read_run(run.run_id)                          # -> RunRows
        measured = measure(rows, settings)                            # audit.metrics -> Measurements
        verdict = decide(measured, settings.gate, rows)               # audit.gate -> Verdict(passed, reasons, checks)
        evidence.finish_run(run.run_id, measured.metrics, verdict, finished_at)
        report = build_report(rows, measured, verdict, settings, generated_at)    # audit.report -> dict
        write_report(report, directory)                               # report.json, report.html
        # 9 RELEASE.json last: written when the verdict passed, a stale one removed when it did not
        settle_release(dst / "RELEASE.json", verdict, ReleaseContents(run_id, generated_at, shards={name: sha256},
                       evidence={relative_path: sha256}, sql_digest=evidence.digest(run.run_id), chain_head=head))
"""
