// What Grafana reads, as its published types say it. observability/tests/grafana.rs appends every dashboard as a literal of type
// `Provisioned` and has the compiler look for keys and values that Grafana does not know.
import type { DataSourceRef, GraphFieldConfig, TableFieldOptions, TableOptions } from '@grafana/schema';
import type * as dashboard from '@grafana/schema/dist/types/raw/dashboard/x/types.gen';
import type * as stat from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type * as timeseries from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';

// JSON has the values of enums, and may leave out what has a default.
type Json<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends Array<infer Item>
      ? Json<Item>[]
      : unknown extends T
        ? T
        : T extends object
          ? { [Key in keyof T]: Json<T[Key]> }
          : T;

type Field<Custom> = {
  defaults: Omit<dashboard.FieldConfig, 'custom'> & { custom?: Partial<Custom> };
  overrides: dashboard.FieldConfigSource['overrides'];
};

type Query =
  | { refId: string; datasource: DataSourceRef; editorMode: 'code'; expr: string; legendFormat: string; range: true; instant: false }
  | { refId: string; datasource: DataSourceRef; editorMode: 'code'; expr: string; format: 'table'; range: false; instant: true }
  // The plugin grafana-clickhouse-datasource, version 4.
  | { refId: string; datasource: DataSourceRef; editorType: 'sql'; queryType: 'table'; format: 1; rawSql: string }
  | { refId: string; datasource: DataSourceRef; editorType: 'sql'; queryType: 'timeseries'; format: 0; rawSql: string };

type Panel<Type, Options, Custom> = Omit<dashboard.Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  title: string;
  options: Partial<Options>;
  fieldConfig: Field<Custom>;
  targets: Query[];
};

// The type says what Grafana's own annotations need; a data source's have its query there.
type Annotation = Omit<dashboard.AnnotationQuery, 'target'> & {
  target: { refId: string; expr: string; interval: string } | Query;
  titleFormat?: string;
  textFormat?: string;
};

export type Provisioned = Json<
  Omit<dashboard.Dashboard, 'panels' | 'annotations'> & {
    uid: string;
    title: string;
    annotations: { list: Annotation[] };
    panels: (
      | Panel<'timeseries', timeseries.Options, GraphFieldConfig>
      | Panel<'stat', stat.Options, {}>
      | Panel<'table', TableOptions, TableFieldOptions>
      | dashboard.RowPanel
    )[];
  }
>;
