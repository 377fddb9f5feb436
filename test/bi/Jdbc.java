// What a tool sees through pgjdbc: columns (first argument "columns") or rows of
// relations of a schema, as lines for COPY.  The server is reached over its Unix
// socket, which pgjdbc leaves to a socket factory.
import java.io.*;
import java.net.*;
import java.nio.channels.*;
import java.sql.*;
import java.time.*;
import java.time.format.DateTimeFormatter;
import java.util.*;
import javax.net.SocketFactory;

public class Jdbc {
	// A socket of java.net whose other end is a file.
	public static class UnixSockets extends SocketFactory {
		private final String path;
		public UnixSockets(String path) { this.path = path; }
		@Override public Socket createSocket() {
			return new Socket() {
				private SocketChannel channel;
				@Override public void connect(SocketAddress ignored, int timeout) throws IOException {
					channel = SocketChannel.open(UnixDomainSocketAddress.of(path));
				}
				@Override public InputStream getInputStream() { return Channels.newInputStream(channel); }
				@Override public OutputStream getOutputStream() { return Channels.newOutputStream(channel); }
				@Override public boolean isConnected() { return channel != null; }
				@Override public void close() throws IOException { if (channel != null) channel.close(); }
				@Override public void setTcpNoDelay(boolean on) { }
				@Override public void setKeepAlive(boolean on) { }
				@Override public void setSoTimeout(int timeout) { }
				@Override public int getSoTimeout() { return 0; }
				@Override public int getSendBufferSize() { return 8192; }
			};
		}
		@Override public Socket createSocket(String host, int port) { throw new UnsupportedOperationException(); }
		@Override public Socket createSocket(String host, int port, InetAddress local, int localPort) { throw new UnsupportedOperationException(); }
		@Override public Socket createSocket(InetAddress host, int port) { throw new UnsupportedOperationException(); }
		@Override public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort) { throw new UnsupportedOperationException(); }
	}

	static final DateTimeFormatter INSTANT = DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm:ss.SSSSSS");
	static final PrintStream OUT = new PrintStream(new FileOutputStream(FileDescriptor.out), false, java.nio.charset.StandardCharsets.UTF_8);

	// A value as COPY reads it.
	static String escape(String value) {
		return value == null ? "\\N" : value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r");
	}

	static void print(List<String> fields) {
		StringJoiner line = new StringJoiner("\t");
		for (String field : fields)
			line.add(escape(field));
		OUT.print(line + "\n");
	}

	static String value(ResultSet rows, int column, int type) throws SQLException {
		if (rows.getObject(column) == null)
			return null;
		switch (type) {
		case Types.NUMERIC: return rows.getBigDecimal(column).toPlainString();
		case Types.TIMESTAMP: return INSTANT.format(rows.getObject(column, OffsetDateTime.class).withOffsetSameInstant(ZoneOffset.UTC));
		case Types.BIT: return rows.getBoolean(column) ? "true" : "false";
		default: return rows.getString(column);
		}
	}

	public static void main(String[] argument) throws Exception {
		Properties properties = new Properties();
		properties.setProperty("user", "bi_reader");
		properties.setProperty("socketFactory", UnixSockets.class.getName());
		properties.setProperty("socketFactoryArg", System.getenv("PGHOST") + "/.s.PGSQL.5432");
		try (Connection connection = DriverManager.getConnection("jdbc:postgresql://localhost/" + System.getenv("PGDATABASE"), properties);
				Statement statement = connection.createStatement()) {
			DatabaseMetaData data = connection.getMetaData();
			if (argument[0].equals("version")) {
				OUT.println("pgjdbc " + data.getDriverVersion() + ", Java " + System.getProperty("java.version"));
			} else if (argument[0].equals("columns")) {
				for (String type : List.of("VIEW", "TABLE"))
					try (ResultSet found = data.getTables(null, "chain", "%", new String[] {type})) {
						while (found.next())
							print(Arrays.asList(found.getString("TABLE_NAME"), null, type, null, null, found.getString("REMARKS")));
					}
				try (ResultSet found = data.getColumns(null, "chain", "%", "%")) {
					while (found.next())
						print(Arrays.asList(found.getString("TABLE_NAME"), found.getString("COLUMN_NAME"),
							JDBCType.valueOf(found.getInt("DATA_TYPE")).getName(), found.getString("COLUMN_SIZE"),
							found.getString("DECIMAL_DIGITS"), found.getString("REMARKS")));
				}
			} else {
				List<String> relations = new ArrayList<>();
				try (ResultSet found = statement.executeQuery("SELECT relation FROM reading")) {
					while (found.next())
						relations.add(found.getString(1));
				}
				for (String relation : relations)
					try (ResultSet rows = statement.executeQuery("SELECT * FROM chain." + relation)) {
						ResultSetMetaData columns = rows.getMetaData();
						while (rows.next()) {
							StringJoiner line = new StringJoiner("|");
							for (int i = 1; i <= columns.getColumnCount(); i++) {
								String value = value(rows, i, columns.getColumnType(i));
								line.add(value == null ? "" : value);
							}
							print(List.of(relation, line.toString()));
						}
					}
			}
		}
		OUT.flush();
	}
}
