// Which Ringway this is, said in one place: `ringway --version` and /metrics show it.

public enum Version {
    /// As semver.org counts; 0: nothing is promised of what the next one breaks.
    public static let current = "0.1.0"

    /// In Prometheus' text format (version 0.0.4).
    public static func metrics() -> String {
        """
        # HELP ringway_build_info Always 1; the label tells what runs.
        # TYPE ringway_build_info gauge
        ringway_build_info{version="\(current)"} 1

        """
    }
}
